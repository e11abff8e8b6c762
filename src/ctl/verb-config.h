/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What the verbs share that read configuration files themselves, as the daemons do. */

#include "ctl/ctl.h"
#include "io/conf.h"

/*
 * Whose configuration is meant: the argument "rs" or "peer", else by --rs; ctl is for that daemon then. 0, or
 * CTL_USAGE, told.
 */
int config_choose(Ctl *ctl, int argc, char **argv, ConfProgram *ret) _must_check_;
