/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * A group that keeps so many copies of everything (Store.MinReplicas=) while peers crash, some with their disks. Looks
 * at what peerd/replicas.c does with core/replicate.
 *
 *   - whatever a living peer has, and no holder of which has died for as long as the group needs to notice and act, is
 *     held by as many as it should be: so nothing is lost unless all copies go within that time
 *   - of what is copied less than half was there often enough already (who crashed is back, or two made the same copy at
 *     once), and nothing is copied when nothing has happened for that long
 */

#include "world.h"

#define REPLICAS_WANTED 2

/* Ends the simulation if that does not hold. */
void replicas_run(const WorldConf *conf, unsigned minutes);
