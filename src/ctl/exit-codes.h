/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The exit status of p2pdi-ctl: stable, and the one table that code, manual page and tests are made from or compared
 * with. X(code, identifier, name, when). A code without a use today keeps its place.
 */

#define CTL_EXIT_CODES(X)                                                                                              \
        X(0, OK, "OK", "Done.")                                                                                        \
        X(1, FAILURE, "FAILURE", "Anything that is not below.")                                                        \
        X(2, USAGE, "USAGE", "Bad arguments.")                                                                         \
        X(3, NOT_HELD, "NOT-HELD", "No reachable peer has it, or none answered.")                                      \
        X(4, NEVER_ISSUED, "NEVER-ISSUED", "That RFC number was never issued.")                                        \
        X(5, NO_DAEMON, "NO-DAEMON", "The control socket is missing or refuses.")                                      \
        X(6, NO_PEERS, "NO-PEERS", "No peer is active.")                                                               \
        X(7, INTEGRITY, "INTEGRITY", "The document is disputed, below Accept=, or not what its digest says.")      \
        X(8, TIMEOUT, "TIMEOUT", "The time of --timeout= passed.")                                                     \
        X(9, NO_SPACE, "NO-SPACE", "The store is full.")                                                               \
        X(10, DENIED, "DENIED", "Not allowed.")

#define CTL_EXIT_ENUM(code, identifier, name, when) CTL_##identifier = code,
enum {
        CTL_EXIT_CODES(CTL_EXIT_ENUM)
};
