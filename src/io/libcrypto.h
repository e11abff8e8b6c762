/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What is to be done before libcrypto is used. It sets itself up at its first use, and goes on where there was no memory
 * for that: it follows NULL.
 */

#include "core/base.h"

/* 0, -ENOMEM. Later times cost nothing. */
int libcrypto_init(void) _must_check_;
