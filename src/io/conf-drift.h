/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Drift: a daemon does not listen where its configuration says, or listens where that does not say. Sockets stay as they
 * were at the start, and those of the service manager as its units have them, whatever is written since.
 */

#include "core/address.h"
#include "io/conf.h"

/* Where a daemon listens, and who it is. */
typedef struct ConfListening {
        const char *daemon;             /* "p2pdi-peerd" */
        const char *instance;           /* NULL: none */
        const Endpoint *endpoints;
        size_t n_endpoints;
        bool inherited;                 /* from a socket unit */
} ConfListening;

/* One sentence for each drift. < 0 ends it. */
typedef int (*ConfDriftFound)(const char *text, void *userdata);

/* 0, or what found() gave. */
int conf_find_drift(const ConfCommon *conf, const ConfListening *l, ConfDriftFound found, void *userdata) _must_check_;
