"""Namespaces of the test process itself, so that tests may have any port and any directory.

Python 3.11 has no os.unshare(), so the calls go through libc.
"""

import ctypes
import ctypes.util
import errno
import fcntl
import os
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

MNT_DETACH = 2

PR_SET_CHILD_SUBREAPER = 36

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1

_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def _check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def mount(source, target, kind=None, flags=0, data=None):
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _check(_libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]),
           f"mount {target}")


def unmount(target):
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def become_subreaper():
    """Orphans of the daemon become children of the tests, where they are found."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def new_user_and_mounts():
    """Root goes on as it is; anybody else becomes root of a user namespace, if the system lets."""
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    else:
        unshare(CLONE_NEWNS)
    try:
        mount(None, "/", flags=MS_REC | MS_PRIVATE)
    except OSError as error:
        # A chroot whose root is no mount point: what is mounted is unmounted at the end.
        if error.errno != errno.EINVAL:
            raise


def new_network():
    """A network of our own with nothing in it but a loopback that is up."""
    unshare(CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", b"lo", 0)
        name, flags = struct.unpack("16sh14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | IFF_UP))
