/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What must hold at all times, and is looked at while the simulation runs. */

#include "peer.h"

/* It has just died: one TTL later nobody may offer anything of it. */
void check_death(Peer *p);
/* From now on: what all know is looked at, in turns. */
void check_start(World *w);
