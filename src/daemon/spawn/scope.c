#include "daemon/spawn/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/manager.h"

#define CGROUPS   "/sys/fs/cgroup"
#define SLICE     "reuseportd.slice"
#define SYSTEMD   "org.freedesktop.systemd1"
#define NAMES_MAX 16U /* that are tried: another life of ours may have left one */

#define REFUSALS_MAX  8U /* by systemd, one after the other, before it is believed */
#define TRIES         3U
#define PROCESSES_MAX 10000U /* that are brought elsewhere at once */

struct Scope {
        Manager *manager; /* borrowed */
        char *description;
        char *base;         /* what its names begin with */
        unsigned n_names;   /* that it has had */
        char *name;         /* of the unit */
        char *path;         /* of the directory */
        int fd;             /* its cgroup.procs, while a worker is being started */
        bool is_told;       /* systemd knows it, and takes it away */
        bool is_new;        /* the directory is, or was empty, and systemd may not know it */
        bool is_refused;    /* for good */
        unsigned n_refused; /* one after the other */
        sd_bus_slot *call;  /* to systemd, under way */
};

/* ---- the place ---- */

/* Where systemd's own tree begins: "/" but for containers without a namespace of control groups. */
static char *find_root(void) {
        _cleanup_free_ char *own = NULL;
        char *end, *path;

        if (sd_pid_get_cgroup(1, &own) < 0)
                return NULL;

        end = strstr(own, "/init.scope");
        if (end)
                *end = '\0';
        return asprintf(&path, CGROUPS "%s", strcmp(own, "/") == 0 ? "" : own) < 0 ? NULL : path;
}

static bool can_be_had(void) {
        struct statfs fs;

        return geteuid() == 0 && sd_booted() > 0 && statfs(CGROUPS, &fs) >= 0 &&
               fs.f_type == CGROUP2_SUPER_MAGIC && access(CGROUPS "/cgroup.procs", W_OK) >= 0;
}

static bool is_populated(const char *path) {
        _cleanup_free_ char *events = NULL;
        char text[256];
        size_t n = 0;
        FILE *file;

        if (asprintf(&events, "%s/cgroup.events", path) < 0)
                return true;
        file = fopen(events, "re");
        if (file) {
                n = fread(text, 1, sizeof(text) - 1, file);
                (void) fclose(file);
        }

        text[n] = '\0';
        return strstr(text, "populated 1");
}

/* Takes the next name that nobody has. */
static int choose_name(Scope *s) {
        _cleanup_free_ char *root = find_root();

        for (unsigned i = 0; root && i < NAMES_MAX; i++) {
                unsigned number = s->n_names++ % NAMES_MAX + 1;
                char suffix[16] = "";

                if (number > 1)
                        snprintf(suffix, sizeof(suffix), "-%u", number);
                free(s->name);
                free(s->path);
                s->path = NULL;
                if (asprintf(&s->name, "%s%s.scope", s->base, suffix) < 0) {
                        s->name = NULL;
                        return -ENOMEM;
                }
                if (asprintf(&s->path, "%s/" SLICE "/%s", root, s->name) < 0) {
                        s->path = NULL;
                        return -ENOMEM;
                }
                if (!is_populated(s->path))
                        return 0;
        }

        return root ? -EEXIST : -ENOMEM;
}

/* Both the slice's and its own.  Returns 1 if its own was made, 0 if it was there. */
static int make_directories(const Scope *s) {
        _cleanup_free_ char *slice = strndup(s->path, (size_t) (strrchr(s->path, '/') - s->path));

        if (!slice)
                return -ENOMEM;
        if (mkdir(slice, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (mkdir(s->path, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;

        return 1;
}

static int open_file(const Scope *s, const char *name) {
        _cleanup_free_ char *path = NULL;
        int fd;

        if (asprintf(&path, "%s/%s", s->path, name) < 0)
                return -ENOMEM;

        fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd_move_above_stdio(fd);
}

/* Any process of it.  0: it is empty. */
static pid_t find_process_in(const char *path) {
        _cleanup_free_ char *procs = NULL;
        FILE *file;
        int pid = 0;

        if (asprintf(&procs, "%s/cgroup.procs", path) < 0)
                return 0;
        file = fopen(procs, "re");
        if (file) {
                if (fscanf(file, "%d", &pid) != 1)
                        pid = 0;
                (void) fclose(file);
        }

        return pid;
}

static pid_t find_process(const Scope *s) {
        return find_process_in(s->path);
}

/* systemd takes away what is empty, perhaps just now. */
static int open_procs(Scope *s) {
        int r = -ENOENT;

        for (unsigned i = 0; i < TRIES && r == -ENOENT; i++) {
                r = make_directories(s);
                s->is_new |= r > 0;
                if (r >= 0)
                        r = open_file(s, "cgroup.procs");
        }

        return r;
}

int scope_open(Scope *s) {
        int r;

        s->fd = fd_close(s->fd);
        r = open_procs(s);
        if (r < 0) {
                log_warning("%s cannot be made: %s; its processes stay in our own control group",
                            s->path, strerror(-r));
                s->fd = -EBADF;
                return s->fd;
        }

        s->fd = r;
        s->is_new |= find_process(s) == 0;
        return s->fd;
}

/* ---- systemd ---- */

static int append_properties(const Scope *s, sd_bus_message *m, pid_t pid) {
        _cleanup_free_ char *unit = NULL;
        int r;

        r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)", "Description", "s", s->description,
                                  "Slice", "s", SLICE, "CollectMode", "s", "inactive-or-failed",
                                  "PIDs", "au", 1, (uint32_t) pid);
        /* What starts before is stopped after: at shutdown we end them, each in its own way. */
        if (r >= 0 && sd_pid_get_unit(0, &unit) >= 0)
                r = sd_bus_message_append(m, "(sv)", "Before", "as", 1, unit);
        return r;
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

static int start_unit(Scope *s, pid_t pid) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus *bus;
        int r;

        outer_bus_want(s->manager->outer_bus);
        bus = outer_bus_get(s->manager->outer_bus);
        if (!bus)
                return -ENOTCONN;

        r = sd_bus_message_new_method_call(bus, &m, SYSTEMD, "/org/freedesktop/systemd1",
                                           SYSTEMD ".Manager", "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", s->name, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = append_properties(s, m, pid);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        s->call = sd_bus_slot_unref(s->call);
        return r < 0 ? r : sd_bus_call_async(bus, &s->call, m, on_started, s, 0);
}

static void tell(Scope *s, pid_t pid) {
        int r;

        s->is_new = false;
        r = start_unit(s, pid);
        s->is_told = r >= 0;
        log_debug("systemd is told of %s, pid %d: %s", s->name, (int) pid,
                  r < 0 ? strerror(-r) : "asked");
}

static int bring(Scope *s, pid_t pid) {
        _cleanup_close_ int fd = open_procs(s);

        if (fd < 0)
                return fd;

        return dprintf(fd, "%d", (int) pid) < 0 && errno != ESRCH ? -errno : 0;
}

/* All that are in it go to another one, under another name. */
static int move(Scope *s) {
        _cleanup_free_ char *from = strdup(s->path);
        int r = from ? choose_name(s) : -ENOMEM;
        pid_t pid;

        for (unsigned i = 0; i < PROCESSES_MAX && r >= 0; i++) {
                pid = find_process_in(from);
                if (pid <= 0)
                        return 0;
                r = bring(s, pid);
        }

        return r;
}

/* A worker may have died before systemd looked at it: another is named, now or when there is one.  And a unit
 * that has ended with its last process, or is about to, is not forgotten while another is in its control group,
 * nor begins anew: then it needs another name. */
static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Scope *s = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);
        pid_t pid = find_process(s);
        int r = 0;

        s->call = sd_bus_slot_unref(s->call);
        if (error) {
                log_debug("systemd does not take %s: %s", s->name, error->message);
                s->is_told = false;
                s->is_new = true;
                if (s->n_refused++ >= REFUSALS_MAX)
                        r = -EPERM;
                else if (pid > 0 && sd_bus_error_has_name(error, SYSTEMD ".UnitExists"))
                        r = move(s);
        } else
                s->n_refused = 0;

        if (r < 0) {
                s->is_refused = true;
                log_warning("systemd does not take the control group of %s as a scope: %s", s->name,
                            error->message);
        } else if (pid > 0 && s->is_new)
                tell(s, pid);
        return 0;
}

void scope_tell(Scope *s, pid_t pid) {
        s->fd = fd_close(s->fd);
        if (pid <= 0 || !s->is_new || s->is_refused)
                return;

        /* systemd may have taken the directory away, since it was empty, before the process has joined. */
        if (find_process(s) <= 0 && bring(s, pid) < 0)
                return;

        s->n_refused = 0;
        if (!s->call)
                tell(s, pid);
}

/* ---- birth and death ---- */

int scope_new(Manager *m, const char *service, unsigned generation, Scope **ret) {
        Scope *s;
        int r;

        if (!can_be_had())
                return -ENOTSUP;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;

        s->manager = m;
        s->fd = -EBADF;
        r = asprintf(&s->base, "reuseportd-%s-%u", service, generation) < 0 ? -ENOMEM : 0;
        if (r < 0)
                s->base = NULL;
        else
                r = choose_name(s);
        if (r >= 0 && asprintf(&s->description, "Generation %u of %s", generation, service) < 0) {
                s->description = NULL;
                r = -ENOMEM;
        }
        if (r < 0) {
                (void) scope_free(s, /* kills= */ false);
                return r;
        }

        *ret = s;
        return 0;
}

int scope_find(Manager *m, pid_t pid, Scope **ret) {
        _cleanup_free_ char *cgroup = NULL;
        const char *name;
        Scope *s;

        if (!can_be_had())
                return -ENOTSUP;
        if (sd_pid_get_cgroup(pid, &cgroup) < 0)
                return -ENOENT;

        name = strrchr(cgroup, '/');
        if (!name || !strstr(cgroup, "/" SLICE "/reuseportd-") || !strstr(name, ".scope"))
                return -ENOENT;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;

        s->manager = m;
        s->fd = -EBADF;
        s->is_told = true;
        s->name = strdup(name + 1);
        s->base = strndup(name + 1, strlen(name + 1) - strlen(".scope"));
        s->n_names = 1;
        s->description = strdup("A generation of an earlier life");
        if (asprintf(&s->path, CGROUPS "%s", cgroup) < 0)
                s->path = NULL;
        if (!s->name || !s->base || !s->description || !s->path) {
                (void) scope_free(s, /* kills= */ false);
                return -ENOMEM;
        }

        *ret = s;
        return 0;
}

/* Those who fork as fast as they are killed are killed as well; Linux 5.14. */
static void kill_all(const Scope *s) {
        _cleanup_close_ int fd = open_file(s, "cgroup.kill");

        if (fd >= 0 && write(fd, "1", 1) < 0)
                log_warning("What is left in %s cannot be killed: %s", s->name, strerror(errno));
}

Scope *scope_free(Scope *s, bool kills) {
        if (!s)
                return NULL;

        if (kills && s->path && is_populated(s->path)) {
                log_info("Processes are left in %s; they are killed", s->name);
                kill_all(s);
        }
        if (s->path && !s->is_told)
                (void) rmdir(s->path); /* if it is not empty yet, its name is used again */
        s->fd = fd_close(s->fd);
        s->call = sd_bus_slot_unref(s->call);
        free(s->description);
        free(s->base);
        free(s->name);
        free(s->path);
        free(s);
        return NULL;
}
