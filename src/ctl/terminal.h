/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the tool knows about the terminal it may be on.
 */

#include "ctl/show.h"

/* Does fd lead to a terminal that can do more than a typewriter (TERM is neither unset nor "dumb")? */
bool terminal_is_smart(int fd);
/* Columns of the terminal behind fd, or as $COLUMNS says; 80 where nobody knows. Asks each time: windows change. */
unsigned terminal_width(int fd);
/* The same for its lines, $LINES, and 24. */
unsigned terminal_height(int fd);
/*
 * colour: $SYSTEMD_COLORS if it says yes or no, else not if $NO_COLOR is set to anything, else on smart terminals.
 * width: of the terminal that is standard output, 0 if it is none. Before a pager takes its place.
 */
void terminal_get_style(ShowStyle *ret);
