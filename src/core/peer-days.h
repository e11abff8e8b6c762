/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The registrations of the last 30 days, a counter a day. Internal to peer-list; peer_info_registrations() is its other
 * half.
 */

#include "core/base.h"
#include "core/peer-table.h"

/* Counts one registration on the day of `realtime` (UTC). Counters stop at 65535. */
void peer_days_count(PeerRecord *p, usec_t realtime);
