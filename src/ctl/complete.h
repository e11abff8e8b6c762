/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * p2pdi-ctl --complete -- WORD...: what the last of these words of a command line may become, for the scripts in
 * completion/. Made from the tables of verbs and options, and of what the daemon knows.
 *
 * One candidate on a line: the word, a tab, what it is. A first line ":FILE" means that the shell's file names are
 * candidates; the word that is completed, or what stands behind its "=", is the beginning of one. No failure is told:
 * the user asked for none.
 */

#include "ctl/ctl.h"

/* Nobody waits longer for a list. */
#define COMPLETE_TIMEOUT USEC_PER_SEC

/* words: without the name of the program; the last is the one that is typed. Always 0. */
int complete_words(Ctl *ctl, int n, char **words);
