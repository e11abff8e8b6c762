/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/boot-id.h"

#include <systemd/sd-id128.h>

BootId boot_id_get(void) {
        BootId id = { 0 };
        sd_id128_t boot;

        if (sd_id128_get_boot(&boot) == 0)
                memcpy(id.bytes, boot.bytes, sizeof(id.bytes));
        return id;
}

bool boot_id_is_known(const BootId *id) {
        const BootId unknown = { 0 };

        return memcmp(id->bytes, unknown.bytes, sizeof(id->bytes)) != 0;
}

/* The wall clock's time at which BOOTTIME was zero; before 1970 if the clock is not set. */
static int64_t came_up_at(const Now *now) {
        return (int64_t) (now->realtime - now->boottime);
}

bool boot_is_same(const BootStamp *then, const BootStamp *now) {
        int64_t difference;

        if (then->at.boottime > now->at.boottime)
                return false;
        if (boot_id_is_known(&then->id) && boot_id_is_known(&now->id))
                return memcmp(then->id.bytes, now->id.bytes, sizeof(now->id.bytes)) == 0;
        if (__builtin_sub_overflow(came_up_at(&now->at), came_up_at(&then->at), &difference))
                return false;
        return difference < (int64_t) BOOT_SAME_USEC && difference > -(int64_t) BOOT_SAME_USEC;
}
