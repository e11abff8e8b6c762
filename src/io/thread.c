/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/thread.h"

#include <signal.h>

int thread_start(const char *name, void *(*run)(void *userdata), void *userdata, pthread_t *ret) {
        sigset_t all, before;
        pthread_t thread;
        int r, q;

        /* A thread starts with its maker's mask: only so there is no moment in which a signal could go to it. */
        sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r > 0)
                return -r;
        r = pthread_create(&thread, NULL, run, userdata);
        q = pthread_sigmask(SIG_SETMASK, &before, NULL);
        assert(q == 0);
        if (r > 0)
                return -r;

        /* A name that is too long is refused, and only ps would have shown it. */
        (void) pthread_setname_np(thread, name);
        *ret = thread;
        return 0;
}
