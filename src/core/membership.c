/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/membership.h"

void membership_init(Membership *m, uint64_t cookie, bool join) {
        *m = (Membership){
                .state = join ? MEMBERSHIP_AWAY : MEMBERSHIP_LEFT,
                .cookie = cookie,
        };
}

void membership_join(Membership *m, const Now *now) {
        if (m->state == MEMBERSHIP_ACTIVE)
                return;

        m->state = MEMBERSHIP_AWAY;
        m->leaving = false;
        m->n_failures = 0;
        m->next_at = now->boottime;
}

void membership_leave(Membership *m, const Now *now) {
        if (m->state == MEMBERSHIP_LEFT)
                return;

        /* Not active as far as is known here, but a Register may have come through whose answer did not: the longest
         * that the protocol's own lease can then last is how long a Leave is worth repeating. */
        if (m->state == MEMBERSHIP_AWAY)
                m->expires_at = MAX_OF(m->expires_at, usec_add(now->boottime, PROTO_TTL_SEC * USEC_PER_SEC));

        m->state = MEMBERSHIP_LEFT;
        m->register_due = false;
        m->leaving = m->cookie != 0 || m->busy;
        m->n_failures = 0;
        m->next_at = now->boottime;
}

void membership_heard(Membership *m, const Now *now) {
        if (m->busy)
                m->heard = true;
        else if (!m->reachable && m->n_failures > 0)
                m->next_at = MIN_OF(m->next_at, now->boottime);
}

void membership_register_now(Membership *m, const Now *now) {
        if (m->state == MEMBERSHIP_LEFT)
                return;

        m->register_due = true;
        m->next_at = now->boottime;
}

MembershipDo membership_next(Membership *m, const Now *now, usec_t *ret_at) {
        if (m->busy || (m->state == MEMBERSHIP_LEFT && !m->leaving)) {
                *ret_at = USEC_INFINITY;
                return MEMBERSHIP_WAIT;
        }

        if (m->state == MEMBERSHIP_ACTIVE && now->boottime >= m->expires_at)
                m->state = MEMBERSHIP_AWAY;

        if (now->boottime < m->next_at) {
                /* Woken at the end of the lease too, so that the state shown is true. */
                *ret_at = m->state == MEMBERSHIP_ACTIVE ? MIN_OF(m->next_at, m->expires_at) : m->next_at;
                return MEMBERSHIP_WAIT;
        }

        m->busy = true;
        if (m->leaving)
                return MEMBERSHIP_LEAVE;
        if (m->state == MEMBERSHIP_ACTIVE && !m->register_due)
                return MEMBERSHIP_KEEPALIVE;

        /* Set again if something changes while this one is under way: then once more. */
        m->register_due = false;
        return MEMBERSHIP_REGISTER;
}

static void back_off(Membership *m, uint32_t retry_after_sec, const Now *now, uint64_t jitter) {
        unsigned n = m->n_failures;

        if (m->n_failures < UINT32_MAX)
                m->n_failures++;

        if (retry_after_sec > 0) {
                usec_t told = MIN_OF(retry_after_sec * USEC_PER_SEC, MEMBERSHIP_RETRY_AFTER_MAX_USEC);
                usec_t usec = usec_doubled(told, n, MEMBERSHIP_BACKOFF_MAX_USEC);
                m->next_at = usec_add(now->boottime, usec + jitter % (usec / 2 + 1));
        } else {
                usec_t usec = usec_doubled(MEMBERSHIP_BACKOFF_MIN_USEC, n, MEMBERSHIP_BACKOFF_MAX_USEC);
                m->next_at = usec_add(now->boottime, usec / 2 + jitter % (usec / 2 + 1));
        }
}

/* What was due did not happen. True: there is nothing left to try, this peer has left as far as it can. */
static bool put_off(Membership *m, MembershipDo what, uint32_t retry_after_sec, const Now *now, uint64_t jitter) {
        back_off(m, retry_after_sec, now, jitter);

        /* It was sent into a network that has healed since. */
        if (m->heard)
                m->next_at = now->boottime;
        m->heard = false;

        /* Still listed by the lease that runs, and still to be registered anew. */
        if (what == MEMBERSHIP_REGISTER && m->state == MEMBERSHIP_ACTIVE)
                m->register_due = true;

        /* Without a cookie nothing can be left; a lease that ends before the next try ends by itself. */
        if (m->leaving && (m->cookie == 0 || m->next_at >= m->expires_at)) {
                m->leaving = false;
                return true;
        }
        /* The first Leave was waiting for the answer to something else. */
        if (m->leaving && what != MEMBERSHIP_LEAVE)
                m->next_at = now->boottime;
        return false;
}

/* The row of failures has ended, if there was one. True: users were told of it. */
static bool end_row(Membership *m) {
        bool said = m->said_away || m->said_refused;

        m->n_failures = 0;
        m->said_away = m->said_refused = false;
        return said;
}

static void take_lease(Membership *m, const Reply *reply, usec_t sent_at, const Now *now, uint64_t jitter) {
        usec_t ttl = (reply->ttl_sec > 0 ? reply->ttl_sec : PROTO_TTL_SEC) * USEC_PER_SEC;
        usec_t pause = reply->keep_alive_sec > 0 ? reply->keep_alive_sec * USEC_PER_SEC : ttl / 3;

        pause = MIN_OF(pause, MIN_OF(ttl / 2, MEMBERSHIP_KEEPALIVE_MAX_USEC));
        pause = MAX_OF(pause, MEMBERSHIP_KEEPALIVE_MIN_USEC);

        if (reply->cookie != 0)
                m->cookie = reply->cookie;
        if (reply->peer_id != 0)
                m->peer_id = reply->peer_id;
        if (reply->has_address) {
                m->has_address = true;
                m->address = reply->address;
        }
        m->keep_alive_usec = pause;
        m->renewed_at = sent_at;
        m->expires_at = usec_add(sent_at, ttl);

        bool at_once = m->register_due || m->leaving;
        m->next_at = at_once ? now->boottime : usec_add(now->boottime, pause - pause / 10 + jitter % (pause / 5 + 1));
}

static MembershipNews renewed(Membership *m, const Reply *reply, usec_t sent_at, const Now *now, uint64_t jitter) {
        bool said = end_row(m);
        bool was_active = m->state == MEMBERSHIP_ACTIVE;

        take_lease(m, reply, sent_at, now, jitter);
        if (m->state != MEMBERSHIP_LEFT)
                m->state = MEMBERSHIP_ACTIVE;

        if (m->state == MEMBERSHIP_ACTIVE && !was_active)
                return MEMBERSHIP_REGISTERED;
        return said ? MEMBERSHIP_REACHABLE : MEMBERSHIP_NO_NEWS;
}

static MembershipNews left(Membership *m, const Now *now) {
        (void) end_row(m);
        m->leaving = false;
        m->expires_at = 0;

        /* Joined again while the Leave was under way: the Register comes after it. */
        if (m->state != MEMBERSHIP_LEFT) {
                m->next_at = now->boottime;
                return MEMBERSHIP_NO_NEWS;
        }
        return MEMBERSHIP_HAS_LEFT;
}

static MembershipNews unknown(Membership *m, MembershipDo what, const Now *now) {
        if (what != MEMBERSHIP_KEEPALIVE) {
                m->cookie = 0;
                m->peer_id = 0;
        }
        /* Inactive by the server's word, which is all that was wanted. */
        if (what == MEMBERSHIP_LEAVE || m->leaving)
                return left(m, now);

        m->state = MEMBERSHIP_AWAY;
        m->next_at = now->boottime;
        return MEMBERSHIP_NO_NEWS;
}

MembershipNews membership_answered(Membership *m, MembershipDo what, const Reply *reply, usec_t sent_at,
                                   const Now *now, uint64_t jitter) {
        bool had_cookie = m->cookie != 0;

        m->busy = m->heard = false;
        m->reachable = true;

        if (reply->status == 401 && had_cookie)
                return unknown(m, what, now);
        if (reply->status == 200 && what == MEMBERSHIP_LEAVE)
                return left(m, now);
        /* Registered under a cookie that the server keeps to itself is of no use: not the protocol, so not a
         * success. */
        if (reply->status == 200 && (had_cookie || reply->cookie != 0))
                return renewed(m, reply, sent_at, now, jitter);

        if (put_off(m, what, reply->retry_after_sec, now, jitter))
                return MEMBERSHIP_HAS_LEFT;
        if (m->said_refused)
                return MEMBERSHIP_NO_NEWS;
        m->said_refused = true;
        return MEMBERSHIP_REFUSED;
}

MembershipNews membership_failed(Membership *m, MembershipDo what, const Now *now, uint64_t jitter) {
        m->busy = false;
        m->reachable = false;

        if (put_off(m, what, 0, now, jitter))
                return MEMBERSHIP_HAS_LEFT;
        if (m->said_away)
                return MEMBERSHIP_NO_NEWS;
        m->said_away = true;
        return MEMBERSHIP_UNREACHABLE;
}
