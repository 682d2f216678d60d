#include "daemon/endpoint/endpoint-look.h"

#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>

static uint64_t n_dropped(int fd) {
        uint32_t numbers[SK_MEMINFO_VARS] = { 0 };
        socklen_t size = sizeof(numbers);

        if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, numbers, &size) < 0)
                return 0;

        return numbers[SK_MEMINFO_DROPS];
}

static void look_at(const ReuseGroup *g, unsigned bank, unsigned slot, EndpointLook *look) {
        unsigned n_waiting, n_limit;

        look->n_sockets++;
        look->n_dropped += n_dropped(reuse_group_fd(g, bank, slot));
        if (!look->is_listening || reuse_group_queue(g, bank, slot, &n_waiting, &n_limit) < 0)
                return;

        look->n_waiting += n_waiting;
        look->n_limit = n_limit;
}

EndpointLook endpoint_look(const Endpoint *e) {
        EndpointLook look = {
                .n_strangers = e->n_strangers,
                .is_listening = e->n_groups > 0 && !reuse_group_is_refusing(e->groups[0]),
        };

        for (size_t i = 0; i < e->n_groups; i++)
                for (unsigned bank = 0; bank < reuse_group_n_banks(e->groups[i]); bank++)
                        for (unsigned slot = 0; slot < reuse_group_n_slots(e->groups[i], bank);
                             slot++)
                                look_at(e->groups[i], bank, slot, &look);

        return look;
}

bool endpoint_has_socket(const Endpoint *e, ino_t inode) {
        struct stat st;

        for (size_t i = 0; i < e->n_open; i++) {
                const ReuseGroup *g = e->groups[i];

                for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                        for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++)
                                if (fstat(reuse_group_fd(g, bank, slot), &st) >= 0 &&
                                    st.st_ino == inode)
                                        return true;
        }

        return false;
}
