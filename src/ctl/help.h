/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * --help: the tables of verbs and options, for people. The verbs stand in the first 24 lines.
 */

#include "ctl/show.h"

#include <stdio.h>

void help_show(FILE *f, const ShowStyle *style);
