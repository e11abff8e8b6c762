/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Who holds what, who lies, and what goes wrong. */

#include "peer.h"

/* Documents unevenly on peers, liars among them, and most of them started. */
void faults_populate(World *w);
/* Until then something goes wrong now and again, to any peer or to all. */
void faults_start(World *w, usec_t until);
/* Peers look up what they wish, each about so often. */
void faults_start_wishes(World *w, usec_t every, usec_t until);
/* Of a big world every so many-th peer is a dozen, of a small one these are all. */
unsigned faults_step(const World *w);
/* These look up what only a peer has that serves false bytes: they put it into quarantine. */
void faults_meet_liar(World *w);
/*
 * Nothing is wrong any more, but for the liars, and half of those who served false bytes have been mended too; all had
 * the time to learn that.
 */
void faults_heal(World *w);
