/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/libcrypto.h"

#include <errno.h>
#include <openssl/crypto.h>

/* NULL: no memory. */
static EVP_MD *fetch_sha256(void) {
        return OSSL_LIB_CTX_get0_global_default() ? EVP_MD_fetch(NULL, "SHA2-256", NULL) : NULL;
}

int libcrypto_init(void) {
        EVP_MD *md = fetch_sha256();

        EVP_MD_free(md);
        return md ? 0 : -ENOMEM;
}

int libcrypto_sha256_new(EVP_MD_CTX **ret) {
        EVP_MD *md = fetch_sha256();
        EVP_MD_CTX *hash = md ? EVP_MD_CTX_new() : NULL;
        bool good = hash && EVP_DigestInit_ex(hash, md, NULL) == 1;

        EVP_MD_free(md);                /* the context has a reference of its own */
        if (!good) {
                EVP_MD_CTX_free(hash);
                return -ENOMEM;
        }
        *ret = hash;
        return 0;
}
