/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/listener.h"

#include <errno.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/*
 * Descriptors passed that have an owner, by their place. Those beyond are never given away. The environment they come
 * from is global as well.
 */
static bool taken[256];

static void free_names(char **names) {
        for (char **name = names; name && *name; name++)
                free(*name);
        free(names);
}

int inherited_take(const char *name, int *ret_fds, size_t n) {
        char **names = NULL;
        int n_passed, n_taken = 0;

        n_passed = sd_listen_fds_with_names(0, &names);
        for (int i = 0; i < n_passed && i < (int) ELEMENTSOF(taken) && (size_t) n_taken < n; i++) {
                if (taken[i] || strcmp(names[i], name) != 0)
                        continue;
                taken[i] = true;
                ret_fds[n_taken++] = SD_LISTEN_FDS_START + i;
        }
        free_names(names);
        return n_passed < 0 ? n_passed : n_taken;
}

unsigned inherited_count(const char *name) {
        char **names = NULL;
        unsigned n = 0;
        int n_passed;

        n_passed = sd_listen_fds_with_names(0, &names);
        for (int i = 0; i < n_passed; i++)
                n += !name || strcmp(names[i], name) == 0;
        free_names(names);
        return n;
}

void inherited_close_rest(void) {
        int n_passed;

        /*
         * Takes the variables out of the environment as well: they are not for children, and must not be believed
         * twice.
         */
        n_passed = sd_listen_fds(1);
        for (int i = 0; i < n_passed; i++)
                if (i >= (int) ELEMENTSOF(taken) || !taken[i])
                        (void) close(SD_LISTEN_FDS_START + i);
}
