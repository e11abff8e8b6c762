/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/sync-internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "core/text.h"
#include "io/log.h"
#include "io/loop.h"

/* Operations of a sync under way at once: some are left to whoever gets a document meanwhile. */
#define SYNC_AT_ONCE (OPERATIONS_ACTIVE_MAX - 8)
/* Each of them is to get as much when the rate is limited: well over Server.MinTransferRate=, below which it is cut. */
#define RATE_OF_ONE (UINT64_C(2) * SYNC_RATE_MIN)
/* It is told at most so often. */
#define TELL_USEC (100 * USEC_PER_MSEC)
/* The rate is that of the last one or two of these. */
#define METER_USEC USEC_PER_SEC
/* What was not used of a limited rate is saved up for that long. */
#define SAVED_USEC (100 * USEC_PER_MSEC)

static void queue_step(Sync *s);

/* ---- telling ---- */

static void run_sync_event(Message *m) {
        SyncEvent *e = MESSAGE_OF(m, SyncEvent, event.message);
        const Client *c = e->event.client;
        c->conf.handler.on_sync(e, c->conf.handler.userdata);
        client_event_read(&e->event);
}

static void post(Client *c, const SyncEvent *e) {
        SyncEvent *copy = malloc(sizeof(*copy));
        if (!copy) {
                log_error("No memory to tell how a sync goes on.");
                return;
        }
        *copy = *e;
        client_event_post(c, &copy->event, run_sync_event);
}

static void post_end(Sync *s, const SyncEvent *e) {
        *s->end = *e;
        client_event_post(s->client, &TAKE_PTR(s->end)->event, run_sync_event);
}

static void meter(Sync *s, const Now *now) {
        SyncProgress *p = &s->progress;

        if (usec_sub(now->boottime, s->metered_at[1]) >= METER_USEC) {
                s->metered_at[0] = s->metered_at[1];
                s->metered[0] = s->metered[1];
                s->metered_at[1] = now->boottime;
                s->metered[1] = s->received;
        }
        const usec_t span = usec_sub(now->boottime, s->metered_at[0]);
        p->bytes_per_sec = span < METER_USEC / 5 ? 0 :
                                                   (uint64_t) ((double) (s->received - s->metered[0]) *
                                                               (double) USEC_PER_SEC / (double) span);
        p->left_usec = USEC_INFINITY;
        if (p->bytes_per_sec > 0) {
                uint64_t left = p->planned.bytes - MIN_OF(p->fetched.bytes, p->planned.bytes);
                p->left_usec = (usec_t) ((double) left / (double) p->bytes_per_sec * (double) USEC_PER_SEC);
        }
}

/* Now, or when TELL_USEC has passed since the last time. */
static void tell(Sync *s, bool at_once) {
        Client *c = s->client;
        Now now;

        if (s->request == 0)
                return;
        now_of_event(c->event, &now);
        if (!at_once && usec_sub(now.boottime, s->told_at) < TELL_USEC)
                return;         /* the timer does it */
        s->told_at = now.boottime;
        s->progress.duration_usec = usec_sub(now.boottime, s->began_at);
        meter(s, &now);
        post(c, &(SyncEvent){ .request = s->request, .progress = s->progress });
}

/* ---- the rate ---- */

/* Until when nothing may be read; 0: it may. */
static bool is_throttled(const Sync *s, const Now *now) {
        return s->max_rate > 0 && s->paid_until > now->boottime;
}

static void arm(Sync *s, const Now *now) {
        usec_t at = usec_add(now->boottime, TELL_USEC);
        if (is_throttled(s, now))
                at = MIN_OF(at, s->paid_until);
        (void) loop_timer_set(s->timer, at);
}

bool sync_received(Client *c, size_t n) {
        Sync *s = c->sync;
        Now now;

        if (!s)
                return false;
        s->received += n;
        if (s->max_rate == 0)
                return false;
        now_of_event(c->event, &now);
        const usec_t from = MAX_OF(s->paid_until, usec_sub(now.boottime, SAVED_USEC));
        s->paid_until = usec_add(from, (usec_t) ((double) n / (double) s->max_rate * (double) USEC_PER_SEC));
        if (!is_throttled(s, &now))
                return false;
        arm(s, &now);
        return true;
}

void sync_storing(Client *c, bool storing) {
        Sync *s = c->sync;

        if (!s)
                return;
        s->n_storing += storing ? 1 : -1U;
        if (storing)
                queue_step(s);
}

bool sync_is_limited(const Client *c) {
        return c->sync && c->sync->max_rate > 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Sync *s = userdata;
        Now now;
        (void) source;
        (void) usec;

        now_of_event(s->client->event, &now);
        if (s->progress.state == SYNC_FETCHING)
                tell(s, false);
        if (!is_throttled(s, &now))
                operations_release(s->client);
        queue_step(s);
        arm(s, &now);
        return 0;
}

/* ---- the end ---- */

static void release(Sync *s) {
        event_source_free(s->timer);
        replicate_plan_done(&s->plan);
        rfc_set_done(&s->ranges);
        free(s->peers);
        free(s->lacking);
        free(s->end);
        free(s);
}

/* Nothing comes to it any more. What is being fetched goes on as an operation like others. */
static void detach(Sync *s) {
        Client *c = s->client;
        c->sync = NULL;
        refresh_forget_sync(c, s);
        operations_forget_sync(c);
}

void sync_free(Sync *s) {
        if (!s)
                return;
        detach(s);
        release(s);
}

/* Goes as soon as nothing of it is in the queue of the loop. */
static void drop(Sync *s) {
        detach(s);
        if (!s->step_queued) {
                release(s);
                return;
        }
        s->dropped = true;
        (void) loop_timer_set(s->timer, USEC_INFINITY);
}

static void log_end(const Sync *s) {
        const SyncProgress *p = &s->progress;
        const bool idle = p->fetched.n == 0 && p->n_failed == 0;
        uint64_t n_skipped = 0;
        for (int i = 0; i < _REPLICATE_SKIP_MAX; i++)
                if (i != REPLICATE_HELD)
                        n_skipped += p->skipped[i].n;
        const LogFields f = {
                .transaction = p->transaction,
                .operation = s->replicas ? "replicate" : "sync",
                .result = p->n_failed > 0 ? "failed" : "ok",
                .has_bytes = true,
                .bytes = p->fetched.bytes,
                .has_entries = true,
                .entries_added = p->fetched.n,
                .has_duration = true,
                .duration_usec = p->duration_usec,
        };
        if (s->replicas && idle)
                return;
        log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_SYNC, &f, "%s: %llu document%s fetched, %llu failed, %llu skipped.",
                  s->replicas ? "Copies of what too few hold" : "Sync finished", (unsigned long long) p->fetched.n,
                  plural(p->fetched.n), (unsigned long long) p->n_failed, (unsigned long long) n_skipped);
}

static void finish(Sync *s, int error) {
        Now now;

        now_of_event(s->client->event, &now);
        s->progress.state = SYNC_DONE;
        s->progress.duration_usec = usec_sub(now.boottime, s->began_at);
        s->progress.left_usec = 0;
        /* Of all of it. */
        s->progress.bytes_per_sec = s->progress.duration_usec > 0 ?
                (uint64_t) ((double) s->received * (double) USEC_PER_SEC / (double) s->progress.duration_usec) : 0;
        if (error < 0)
                (void) log_errno(LOG_LEVEL_ERR, error, "Could not go on with the sync");
        else if (!s->dry_run)
                log_end(s);
        if (s->end)
                post_end(s, &(SyncEvent){ .request = s->request, .error = error, .progress = s->progress });
        /* What hundreds of documents on their way needed, in the heaps of all threads, nobody needs until the next sync. */
        if (s->progress.fetched.n > 0)
                (void) malloc_trim(0);
        drop(s);
}

/* ---- fetching ---- */

static void count_failure(SyncProgress *p, uint32_t number, const char *result) {
        size_t i = 0;
        while (i < p->n_results && strcmp(p->failed[i].result, result) != 0)
                i++;
        if (i == p->n_results) {
                if (i == SYNC_RESULTS_MAX)
                        i--;    /* there are not as many */
                else
                        p->failed[p->n_results++].result = result;
        }
        SyncFailure *f = &p->failed[i];
        if (f->n < SYNC_NUMBERS_SHOWN)
                f->numbers[f->n] = number;
        f->n++;
        p->n_failed++;
}

void sync_told(Client *c, const DownloadEvent *e) {
        Sync *s = c->sync;
        SyncProgress *p = s ? &s->progress : NULL;

        if (!s || e->state != DOWNLOAD_DONE)
                return;
        s->n_active--;
        if (e->result == LOOKUP_FOUND && e->local)
                p->n_elsewhere++;
        else if (e->result == LOOKUP_FOUND) {
                p->fetched.n++;
                p->fetched.bytes += e->size;
                if (s->replicas)
                        atomic_fetch_add(&c->counters.n_replicas, 1);
        } else {
                count_failure(p, e->number, download_result_name(e));
                s->full = s->full || (e->result == LOOKUP_FAILED && (e->error == -ENOSPC || e->error == -EDQUOT));
        }
        tell(s, false);
        queue_step(s);
}

/* What is not begun any more has no room. */
static void give_up(Sync *s) {
        ReplicateItem item;
        while (replicate_plan_next(&s->plan, &item)) {
                s->progress.skipped[REPLICATE_NO_ROOM].n++;
                s->progress.skipped[REPLICATE_NO_ROOM].bytes += item.size;
        }
}

static bool may_begin(const Sync *s) {
        return s->n_active - s->n_storing < s->n_active_max && operations_have_room(s->client);
}

static void fetch(Sync *s) {
        ReplicateItem item;
        Now now;

        now_of_event(s->client->event, &now);
        if (s->full)
                give_up(s);
        while (may_begin(s) && !is_throttled(s, &now) && replicate_plan_next(&s->plan, &item)) {
                s->n_active++;
                int k = operation_add_bulk(s->client, s->progress.transaction, item.number);
                if (k < 0) {
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not start the download of RFC %u", item.number);
                        s->n_active--;
                        count_failure(&s->progress, item.number, "failed");
                }
        }
        if (s->n_active == 0 && s->plan.at >= s->plan.n_items)
                finish(s, 0);
}

/* ---- planning ---- */

static void planned(Sync *s) {
        SyncProgress *p = &s->progress;

        replicate_plan_end(&s->plan);
        p->planned = s->plan.planned;
        memcpy(p->skipped, s->plan.skipped, sizeof(p->skipped));
        if (s->replicas)
                replicas_planned(s);
        if (s->dry_run) {
                finish(s, 0);
                return;
        }
        p->state = SYNC_FETCHING;
        tell(s, true);
        queue_step(s);
}

static void plan(Sync *s) {
        Now now;
        now_of_event(s->client->event, &now);
        int k = s->replicas && !s->peers ? replicas_prepare(s, &now) : 0;
        if (k == 0)
                k = sync_plan_step(s, &now);
        if (k > 0)
                queue_step(s);
        else if (k < 0)
                finish(s, k);
        else
                planned(s);
}

/* By how much the library may grow. */
static uint64_t room(const Client *c) {
        uint64_t bytes;
        size_t n;
        documents_count(c->conf.documents, &n, &bytes);
        return c->settings.max_store_size - MIN_OF(bytes, c->settings.max_store_size);
}

void sync_refreshed(Sync *s) {
        Client *c = s->client;
        const ReplicateConf conf = {
                .room = room(c),
                .max_file_size = c->settings.max_file_size,
                .key = { random_u64(), random_u64() },
        };

        replicate_plan_init(&s->plan, &conf);
        s->progress.state = SYNC_PLANNING;
        s->progress.servers_away = c->settings.n_servers > 0 && client_servers_away(c);
        tell(s, true);
        queue_step(s);  /* not from here: who asks for the refresh may still be about to */
}

void sync_peer_told(Sync *s, bool good) {
        s->progress.n_peers++;
        s->progress.n_peers_failed += !good;
}

/* ---- going on ---- */

static void run_step(Message *m) {
        Sync *s = MESSAGE_OF(m, Sync, step);
        s->step_queued = false;
        if (s->dropped)
                release(s);
        else if (s->progress.state == SYNC_PLANNING)
                plan(s);
        else if (s->progress.state == SYNC_FETCHING)
                fetch(s);
}

/* In the next turn: what is planned takes many, and an operation that ends must not end the sync within itself. */
static void queue_step(Sync *s) {
        if (s->step_queued)
                return;
        s->step_queued = true;
        s->step.run = run_step;
        loop_thread_post(s->client->loop, &s->step);
}

/* ---- beginning ---- */

void sync_begin(Client *c, Sync *s) {
        Now now;

        s->client = c;
        now_of_event(c->event, &now);
        s->began_at = s->told_at = s->metered_at[0] = s->metered_at[1] = now.boottime;
        s->progress.left_usec = USEC_INFINITY;
        if (s->n_active_max == 0)
                s->n_active_max = SYNC_AT_ONCE;
        if (s->max_rate > 0)
                s->n_active_max = (unsigned) MAX_OF(MIN_OF(s->max_rate / RATE_OF_ONE, (uint64_t) s->n_active_max),
                                                    UINT64_C(1));
        c->sync = s;
        int k = loop_timer_new(c->event, on_timer, s, "sync", &s->timer);
        if (k == 0)
                k = refresh_for_sync(c, s, s->progress.transaction);
        if (k < 0) {
                finish(s, k);
                return;
        }
        arm(s, &now);
}

void sync_forget_request(Client *c, uint64_t request) {
        if (c->sync && c->sync->request == request) {
                log_info("The sync ends: nobody waits for it any more.");
                drop(c->sync);
        }
}

static void run_sync(Message *m) {
        Sync *s = MESSAGE_OF(m, Sync, step);
        Client *c = s->client;

        if (c->sync && c->sync->replicas)
                drop(c->sync);  /* what it was about is part of this */
        if (c->sync) {
                post_end(s, &(SyncEvent){ .request = s->request, .busy = true });
                release(s);
                return;
        }
        sync_begin(c, s);
}

int client_sync(Client *c, uint64_t request, uint64_t transaction, RfcSet *ranges, bool dry_run, uint64_t max_rate) {
        _cleanup_free_ Sync *s = calloc(1, sizeof(*s));
        _cleanup_free_ SyncEvent *end = calloc(1, sizeof(*end));
        if (!s || !end) {
                rfc_set_done(ranges);
                return -ENOMEM;
        }
        *s = (Sync){
                .client = c,
                .step = { .run = run_sync },
                .request = request,
                .end = TAKE_PTR(end),
                .dry_run = dry_run,
                .ranges = *ranges,
                .max_rate = max_rate,
                .progress = { .transaction = transaction },
        };
        *ranges = (RfcSet){};
        loop_thread_post(c->loop, &TAKE_PTR(s)->step);
        return 0;
}
