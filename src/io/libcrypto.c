/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/libcrypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

int libcrypto_init(void) {
        EVP_MD *md;

        if (!OSSL_LIB_CTX_get0_global_default())
                return -ENOMEM;
        md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
        EVP_MD_free(md);
        return md ? 0 : -ENOMEM;
}
