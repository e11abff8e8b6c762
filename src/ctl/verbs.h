/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The verbs, as the table in ctl.c names them: (Ctl, arguments without the verb) to a result as in ctl.h.
 */

#include "ctl/ctl.h"

/* verb-get.c */
int verb_get(Ctl *ctl, int argc, char **argv);
int verb_cat(Ctl *ctl, int argc, char **argv);
/* verb-list.c */
int verb_list(Ctl *ctl, int argc, char **argv);
int verb_where(Ctl *ctl, int argc, char **argv);
/* verb-peers.c */
int verb_peers(Ctl *ctl, int argc, char **argv);
int verb_refresh(Ctl *ctl, int argc, char **argv);
int verb_join(Ctl *ctl, int argc, char **argv);
int verb_leave(Ctl *ctl, int argc, char **argv);
int verb_registrations(Ctl *ctl, int argc, char **argv);
/* verb-status.c */
int verb_status(Ctl *ctl, int argc, char **argv);
