/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Pages: what an OwnIndex lists, as pages for people and for mirrors. Made once for each snapshot, by the download
 * thread whose client asks first, and then sent to all others: a peer that nobody looks at makes none.
 */

#include "peerd/documents.h"

/*
 * The page of that snapshot; valid as long as the reference to it. host: name of this host. The index is locked by
 * slices, to see what the editor's index says of each. Two threads may make the same page at once; one of them is
 * kept. Making one of 10,000 documents takes some 20 ms, in which that thread does nothing else. -errno.
 */
int pages_get(Documents *d, OwnIndex *own, PageKind kind, const char *host, const OwnPage **ret) _must_check_;
