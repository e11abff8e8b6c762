/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * BootId: which boot of this machine is this? So that a point on CLOCK_BOOTTIME that was written to disk can be told
 * from one of another boot.
 */

#include "core/base.h"

/* All zero: not known. */
typedef struct BootId {
        uint8_t bytes[16];
} BootId;

/* What was on the clocks when a boot's points were written. */
typedef struct BootStamp {
        BootId id;
        Now at;
} BootStamp;

/*
 * The kernel's boot id; all zero where it can't be read: in a sandbox with ProcSubset=pid there is no /proc/sys.
 */
BootId boot_id_get(void);
bool boot_id_is_known(const BootId *id);

/*
 * Are points written at `then` points on the clock of `now`? Not if BOOTTIME has gone back: that is another boot, or
 * another time namespace of this one. Else where both ids are known they decide, and where they are not, the boot was
 * the same if the wall clock says that the machine came up at the same time, within BOOT_SAME_USEC. Wrong answers are
 * cheap then: a boot that ran for less than that before it was taken for its successor shifts leases by less than that;
 * a wall clock that was set between two runs of one boot prolongs them by the time since the last write.
 */
#define BOOT_SAME_USEC (2 * USEC_PER_MINUTE)
bool boot_is_same(const BootStamp *then, const BootStamp *now);
