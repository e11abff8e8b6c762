/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

/* Downloads end with a LookupResult, which is a place among the values of the label. */
#define SAME(a, b) _Static_assert((int) (a) == (int) (b), "PEERD_DOWNLOAD_RESULTS is not in the order of LookupResult")
SAME(LOOKUP_FOUND, PEERD_DOWNLOAD_FOUND);
SAME(LOOKUP_NOT_HELD, PEERD_DOWNLOAD_NOT_HELD);
SAME(LOOKUP_NO_PEERS, PEERD_DOWNLOAD_NO_PEERS);
SAME(LOOKUP_INTEGRITY, PEERD_DOWNLOAD_INTEGRITY);
SAME(LOOKUP_UNREACHABLE, PEERD_DOWNLOAD_UNREACHABLE);
SAME(LOOKUP_DISPUTED, PEERD_DOWNLOAD_DISPUTED);
SAME(LOOKUP_UNTRUSTED, PEERD_DOWNLOAD_UNTRUSTED);
SAME(LOOKUP_FAILED, PEERD_DOWNLOAD_FAILED);
_Static_assert((int) PEERD_DOWNLOAD_NEVER_ISSUED == LOOKUP_FAILED + 1, "PEERD_DOWNLOAD_RESULTS is not that of LookupResult");

void client_count_download(Client *c, PeerdSource source, LookupResult how, bool never_issued) {
        unsigned result = never_issued ? PEERD_DOWNLOAD_NEVER_ISSUED : (unsigned) how;
        atomic_fetch_add(&c->counters.downloads[source][result], 1);
}

void client_count_pull(Client *c, PeerdPullKind kind, const char *result) {
        static const char *const names[] = {
#define NAME(id, name) name,
                PEERD_PULL_RESULTS(NAME)
#undef NAME
        };
        PeerdPullResult i = 0;

        if (strcmp(result, "unchanged") == 0)
                result = "ok";
        else if (kind == PEERD_PULL_UNCHANGED)  /* whether the copy is right did not come out */
                kind = PEERD_PULL_FULL;
        while (i < PEERD_PULL_RESULT_FAILED && strcmp(result, names[i]) != 0)
                i++;
        atomic_fetch_add(&c->counters.pulls[kind][i], 1);
}
