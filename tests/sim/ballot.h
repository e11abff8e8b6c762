/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What a peer may believe of a document, by the rules of core/trust but with the means of the simulation: it knows who
 * lives on which host and what each of them states, and counts by that.
 */

#include "peer.h"

#define SIM_QUORUM 2

/* It takes this text as the grade allows it; ends the simulation if that is disputed by what it was told. */
void ballot_check_fetch(const Peer *p, const RfcRecord *record);
/* It says that no text may be taken: then none may be. */
void ballot_check_disputed(const Peer *p, uint32_t number);
/*
 * Of documents 1..n, as things are, for whoever asks everybody: found, if a live honest peer has it and what liars
 * state can't block it.
 */
RunWant *ballot_want_all(const World *w, uint32_t n);
