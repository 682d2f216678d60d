#pragma once

/* Packets made by hand, and classic BPF run over them.
 *
 * The interpreter does what the kernel does where a rule could meet it: a load outside the packet ends the
 * program with 0, a division by zero too, offsets from SKF_NET_OFF on are the IP header's.  Random
 * numbers and CPUs come from the caller, so that each branch can be walked.
 */

#include "reuse/rule.h"

typedef struct Packet {
        uint8_t data[256];
        size_t size;
        uint32_t random, cpu; /* what SKF_AD_RANDOM and SKF_AD_CPU say; random goes on by itself */
        uint32_t interface;   /* SKF_AD_IFINDEX; 1 is loopback, as all are made */
} Packet;

/* @source  "1.2.3.4:5" or "[2001:db8::1]:5"
 * @protocol  IPPROTO_TCP or IPPROTO_UDP
 * @options_bytes  of IPv4: a multiple of four */
Packet packet_make(const char *source, int protocol, size_t options_bytes);

/* The same without the text. */
Packet packet_make_v4(uint32_t source, uint16_t port, int protocol, size_t options_bytes);
Packet packet_make_v6(const struct in6_addr *source, uint16_t port, int protocol);

/* Runs @p; fails the test on whatever the kernel's checker should have refused. */
uint32_t program_run(const ReuseProgram *p, Packet *packet);
