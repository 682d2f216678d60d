#include "daemon/bus/bus-object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/manager.h"

static int find_service(sd_bus *bus, const char *path, const char *interface, void *userdata,
                        void **ret_found, sd_bus_error *reterr) {
        const BusClient *c = userdata;
        _cleanup_free_ char *name = NULL;
        int r;

        r = sd_bus_path_decode(path, BUS_SERVICES_PATH, &name);
        if (r <= 0)
                return r;

        *ret_found = manager_find_service(c->bus->manager, name);
        return *ret_found ? 1 : 0;
}

static int find_endpoint(sd_bus *bus, const char *path, const char *interface, void *userdata,
                         void **ret_found, sd_bus_error *reterr) {
        const BusClient *c = userdata;
        _cleanup_free_ char *name = NULL;
        int r;

        r = sd_bus_path_decode(path, BUS_ENDPOINTS_PATH, &name);
        if (r <= 0)
                return r;

        *ret_found = manager_find_endpoint(c->bus->manager, name);
        return *ret_found ? 1 : 0;
}

static int list_services(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                         sd_bus_error *reterr) {
        const BusClient *c = userdata;
        const Manager *m = c->bus->manager;
        _cleanup_strv_ char **paths = calloc(m->n_services + 1, sizeof(char *));

        if (!paths)
                return -ENOMEM;

        for (size_t i = 0; i < m->n_services; i++) {
                int r = sd_bus_path_encode(BUS_SERVICES_PATH, m->services[i]->settings->name,
                                           &paths[i]);

                if (r < 0)
                        return r;
        }

        *ret_nodes = TAKE_PTR(paths);
        return 0;
}

static int list_endpoints(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                          sd_bus_error *reterr) {
        const BusClient *c = userdata;
        const Manager *m = c->bus->manager;
        _cleanup_strv_ char **paths = calloc(m->n_endpoints + 1, sizeof(char *));

        if (!paths)
                return -ENOMEM;

        for (size_t i = 0; i < m->n_endpoints; i++) {
                int r = sd_bus_path_encode(BUS_ENDPOINTS_PATH, m->endpoints[i]->settings->name,
                                           &paths[i]);

                if (r < 0)
                        return r;
        }

        *ret_nodes = TAKE_PTR(paths);
        return 0;
}

/* Nobody is here. */
static int on_nobody(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return 0;
}

/* Adds a path from its root downwards, one place at a time.  sd-bus (252) makes those above by itself, but
 * where memory ends between two of them it leaves the upper one behind, and aborts over it when the
 * connection is freed. */
static int add_path(sd_bus *peer, const char *path) {
        _cleanup_free_ char *prefix = strdup(path);
        int r;

        if (!prefix)
                return -ENOMEM;

        r = sd_bus_add_object(peer, NULL, "/", on_nobody, NULL);
        for (size_t i = 1; path[i - 1] && r >= 0; i++) {
                if (path[i] && path[i] != '/')
                        continue;
                prefix[i] = '\0';
                r = sd_bus_add_object(peer, NULL, prefix, on_nobody, NULL);
                prefix[i] = path[i];
        }

        return r;
}

static int add_driver(BusClient *c) {
        int r = add_path(c->peer, "/org/freedesktop/DBus");

        return r < 0 ? r
                     : sd_bus_add_object_vtable(c->peer, NULL, "/org/freedesktop/DBus",
                                                "org.freedesktop.DBus", bus_driver_vtable, c);
}

int bus_object_add_take(BusClient *c) {
        int r = add_driver(c);

        if (r >= 0)
                r = add_path(c->peer, BUS_PATH);
        return r < 0 ? r
                     : sd_bus_add_object_vtable(c->peer, NULL, BUS_PATH, BUS_MANAGER,
                                                bus_take_vtable, c);
}

int bus_object_add_ours(BusClient *c) {
        sd_bus_slot **slot = c->objects;
        int r;

        r = add_path(c->peer, BUS_SERVICES_PATH); /* below BUS_PATH */
        if (r >= 0)
                r = add_path(c->peer, BUS_ENDPOINTS_PATH);
        if (r >= 0)
                r = sd_bus_add_object_vtable(c->peer, slot++, BUS_PATH, BUS_MANAGER,
                                             bus_manager_vtable, c);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(c->peer, slot++, BUS_SERVICES_PATH, BUS_SERVICE,
                                               bus_service_vtable, find_service, c);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(c->peer, slot++, BUS_ENDPOINTS_PATH, BUS_ENDPOINT,
                                               bus_endpoint_vtable, find_endpoint, c);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(c->peer, slot++, BUS_SERVICES_PATH, list_services,
                                               c);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(c->peer, slot++, BUS_ENDPOINTS_PATH, list_endpoints,
                                               c);
        return r;
}

void bus_object_remove(BusClient *c) {
        for (size_t i = 0; i < BUS_OBJECTS; i++)
                c->objects[i] = sd_bus_slot_unref(c->objects[i]);
}

int bus_object_add_all(BusClient *c) {
        int r = add_driver(c);

        return r < 0 ? r : bus_object_add_ours(c);
}
