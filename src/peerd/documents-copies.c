/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/replicate.h"
#include "io/log.h"
#include "peerd/documents-internal.h"

/* More holders need not be looked at: they are more copies than Store.MinReplicas= can ask for. */
#define HOLDERS_MAX_SEEN (2 * REPLICATE_REPLICAS_MAX)

void documents_set_copies(Documents *d, unsigned n_replicas, const Endpoint *self, size_t n_self) {
        Endpoint *copy = reallocarray(NULL, MAX_OF(n_self, (size_t) 1), sizeof(*copy));
        if (!copy) {
                log_error("No memory to tell which copies are to be kept.");
                return;
        }
        memcpy(copy, self, n_self * sizeof(*copy));
        (void) documents_lock(d);
        Endpoint *old = d->self;
        d->self = copy;
        d->n_self = n_self;
        d->n_replicas = n_replicas;
        documents_unlock(d);
        free(old);
}

bool documents_keeps_copy(const Documents *d, uint32_t number, const Now *now) {
        RfcRecord own, records[HOLDERS_MAX_SEEN];
        Endpoint holders[HOLDERS_MAX_SEEN];
        size_t n_holders = 0;

        if (d->n_replicas == 0 || !rfc_index_get_own(d->index, number, &own))
                return false;
        if (d->n_self == 0)
                return true;    /* its weight is not known yet */
        size_t n = rfc_index_find(d->index, number, now, records, ELEMENTSOF(records));
        for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(records)); i++)
                if (records[i].first_hand && digest_equal(&records[i].digest, &own.digest))
                        holders[n_holders++] = records[i].holder;
        return replicate_keeps(number, d->n_replicas, d->self, d->n_self, holders, n_holders);
}
