/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

/*
 * Who may go on, first come first served. What is told to go on does so later or changes its own state only, so it
 * never comes back here from within.
 */

static AskPass *first(AskGate *g, AskPassState state) {
        return TAILQ_FIRST(state == ASK_PASS_WAITS_TO_DIAL ? &g->to_dial : &g->to_ask);
}

static void wait_for(AskGate *g, AskPass *p, AskPassState state) {
        p->state = state;
        if (state == ASK_PASS_WAITS_TO_DIAL)
                TAILQ_INSERT_TAIL(&g->to_dial, p, link);
        else
                TAILQ_INSERT_TAIL(&g->to_ask, p, link);
}

static void count(AskGate *g, AskPass *p, int by) {
        if (p->state == ASK_PASS_DIALS)
                g->n_dials = (unsigned) ((int) g->n_dials + by);
        else if (p->state == ASK_PASS_ASKS)
                g->n_asks = (unsigned) ((int) g->n_asks + by);
}

/* It has no state after that. */
static void forget(AskGate *g, AskPass *p) {
        if (p->state == ASK_PASS_WAITS_TO_DIAL)
                TAILQ_REMOVE(&g->to_dial, p, link);
        else if (p->state == ASK_PASS_WAITS_TO_ASK)
                TAILQ_REMOVE(&g->to_ask, p, link);
        count(g, p, -1);
        p->state = ASK_PASS_NONE;
}

static void enter(AskGate *g, AskPass *p, AskPassState state) {
        p->state = state;
        count(g, p, 1);
}

static void let_go(AskGate *g) {
        AskPass *p;

        while (g->n_asks < LOOKUP_ASKS_AT_ONCE && (p = first(g, ASK_PASS_WAITS_TO_ASK))) {
                forget(g, p);
                enter(g, p, ASK_PASS_ASKS);
                p->go(p);
        }
        while (g->n_dials < LOOKUP_DIALS_AT_ONCE && (p = first(g, ASK_PASS_WAITS_TO_DIAL))) {
                forget(g, p);
                enter(g, p, ASK_PASS_DIALS);
                p->go(p);
        }
}

void ask_gate_init(AskGate *g) {
        *g = (AskGate){};
        TAILQ_INIT(&g->to_dial);
        TAILQ_INIT(&g->to_ask);
}

bool ask_gate_dial(AskGate *g, AskPass *p) {
        if (p->state == ASK_PASS_DIALS) /* it was told to */
                return true;
        forget(g, p);
        if (g->n_dials >= LOOKUP_DIALS_AT_ONCE) {
                wait_for(g, p, ASK_PASS_WAITS_TO_DIAL);
                return false;
        }
        enter(g, p, ASK_PASS_DIALS);
        return true;
}

bool ask_gate_ask(AskGate *g, AskPass *p) {
        if (p->state == ASK_PASS_ASKS)  /* again, on another connection */
                return true;
        forget(g, p);
        bool room = g->n_asks < LOOKUP_ASKS_AT_ONCE;
        if (room)
                enter(g, p, ASK_PASS_ASKS);
        else
                wait_for(g, p, ASK_PASS_WAITS_TO_ASK);
        let_go(g);
        return room;
}

void ask_gate_leave(AskGate *g, AskPass *p) {
        forget(g, p);
        let_go(g);
}
