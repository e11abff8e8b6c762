/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What finding and knowing cost in a group where nothing goes wrong but that peers come and go: contacts per lookup,
 * and bytes of indexes.
 */

#include "world.h"

void figures_print_head(void);
/* One line: of so many hours of a group of n_peers. */
void figures_run(const WorldConf *conf, unsigned minutes);
