/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-days.h"

static int32_t day_of(usec_t realtime) {
        return (int32_t) MIN_OF(realtime / USEC_PER_DAY, (usec_t) INT32_MAX);
}

void peer_days_count(PeerRecord *p, usec_t realtime) {
        int64_t day = day_of(realtime), ahead = day - p->first_day;

        /*
         * The clock may go back: a day that is still among the 30 gets its own. If it went back further, the days
         * counted were of a clock that ran wild, and would shut out all true ones until it is that day: so they go.
         */
        if (ahead >= PEER_DAYS || ahead <= -PEER_DAYS) {
                memset(p->counts, 0, sizeof(p->counts));
                p->first_day = (int32_t) day;
                ahead = 0;
        } else if (ahead > 0) {
                memmove(p->counts + ahead, p->counts, (size_t) (PEER_DAYS - ahead) * sizeof(p->counts[0]));
                memset(p->counts, 0, (size_t) ahead * sizeof(p->counts[0]));
                p->first_day = (int32_t) day;
                ahead = 0;
        }
        if (p->counts[-ahead] < UINT16_MAX)
                p->counts[-ahead]++;
}

uint32_t peer_info_registrations(const PeerInfo *info, usec_t realtime) {
        int64_t today = day_of(realtime);
        uint32_t sum = 0;

        for (int64_t i = 0; i < PEER_DAYS; i++) {
                int64_t day = info->first_day - i;

                if (day <= today && day > today - PEER_DAYS)
                        sum += info->counts[i];
        }
        return sum;
}
