/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What is asked of libcrypto. It sets itself up at its first use, and goes on where there was no memory for that: it
 * follows NULL. So it is used by these.
 */

#include "core/base.h"

#include <openssl/evp.h>

/* Sets it up: for who wants to know early whether there is the memory. 0, -ENOMEM. */
int libcrypto_init(void) _must_check_;
/* A SHA-256 that has begun: for EVP_DigestUpdate(). *ret is for EVP_MD_CTX_free(). 0, -ENOMEM. */
int libcrypto_sha256_new(EVP_MD_CTX **ret) _must_check_;
