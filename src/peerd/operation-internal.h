/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* The parts of a download: operation.c (its course) and operation-tell.c (what is told of it). */

#include "peerd/client-internal.h"

/* ---- operation-tell.c ---- */

/* o->told, to all who watch, and to the sync that it is of. */
void operation_tell(Operation *o);
/* For `why`: what was done, of which peer (NULL: of none), and how it went (a literal). */
void operation_remember(Operation *o, HistoryWhat what, const Endpoint *peer, const char *result, uint64_t count);
/* The same of what begins only. */
void operation_remember_asking(Operation *o, HistoryWhat what, const Endpoint *peer);
/* How many are known to hold it, whenever that is another number than before. */
void operation_remember_holders(Operation *o, size_t n);
void operation_remember_servers(Operation *o, LookupOutcome outcome);
/* How it ended. What was fetched was logged with its holder, by the transfer. */
void operation_log_result(const Operation *o, const LookupStep *step, bool local);
