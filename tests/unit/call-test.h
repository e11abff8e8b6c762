/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* For tests of Calls. */

#include "io/call.h"

/* A minute for everything: no test waits for that, so what ends a Call is what the test has set. pool: NULL: none. */
static inline CallConf test_call_conf(CallPool *pool) {
        return (CallConf){
                .connect_timeout = USEC_PER_MINUTE,
                .answer_timeout = USEC_PER_MINUTE,
                .idle_timeout = USEC_PER_MINUTE,
                .total_timeout = USEC_INFINITY,
                .pool = pool,
        };
}
