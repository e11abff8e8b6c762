/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-list.h"

#include <errno.h>

#include "core/peer-changes.h"
#include "core/peer-days.h"
#include "core/peer-order.h"
#include "core/peer-sources.h"
#include "core/peer-table.h"
#include "core/peer-terms.h"

/*
 * Whatever can fail comes first (reserve, add the record), so that what comes behind it is done whole: no operation is
 * half done for want of memory, and expiry needs none.
 */

struct PeerList {
        PeerListLimits limits;
        uint32_t last_id;
        PeerTable table;
        PeerOrder order;
        PeerSources sources;
        PeerTerms leases;               /* active records */
        PeerTerms waits;                /* inactive ones, until they are forgotten */
        PeerChanges changes, urgent;
};

int peer_list_new(const PeerListLimits *limits, const uint64_t hash_key[2], PeerList **ret) {
        _cleanup_(peer_list_free_p) PeerList *l = NULL;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->limits = *limits;
        peer_terms_init(&l->leases);
        peer_terms_init(&l->waits);
        r = peer_table_init(&l->table, hash_key);
        if (r == 0)
                r = peer_sources_init(&l->sources, hash_key);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

PeerList *peer_list_free(PeerList *l) {
        if (!l)
                return NULL;
        peer_table_done(&l->table);
        peer_order_done(&l->order);
        peer_sources_done(&l->sources);
        peer_changes_done(&l->changes);
        peer_changes_done(&l->urgent);
        free(l);
        return NULL;
}

void peer_list_set_memory(PeerList *l, const PeerListMemory *memory) {
        assert(l->table.n_chunks == 0);
        l->table.memory = *memory;
}

void peer_list_set_limits(PeerList *l, const PeerListLimits *limits) {
        l->limits = *limits;
}

/* ---- Changes ---- */

static void changed(PeerList *l, PeerRecord *p) {
        if (!p->queued)
                peer_changes_push(&l->changes, p->id);
        p->queued = true;
}

static void changed_urgently(PeerList *l, PeerRecord *p) {
        if (!p->queued_urgent)
                peer_changes_push(&l->urgent, p->id);
        p->queued_urgent = true;
}

void peer_list_put_back_change(PeerList *l, uint32_t id) {
        uint32_t slot = peer_order_find(&l->order, id);

        if (slot != SLOT_NONE)
                changed_urgently(l, peer_table_at(&l->table, slot));
}

size_t peer_list_take_changes(PeerList *l, uint32_t *ret_ids, size_t n) {
        size_t taken;

        for (taken = 0; taken < n && peer_list_has_changes(l); taken++) {
                bool urgent = l->urgent.n > 0;
                uint32_t id = peer_changes_pop(urgent ? &l->urgent : &l->changes);
                uint32_t slot = peer_order_find(&l->order, id);

                if (slot != SLOT_NONE) {
                        PeerRecord *p = peer_table_at(&l->table, slot);

                        if (urgent)
                                p->queued_urgent = false;
                        else
                                p->queued = false;
                }
                ret_ids[taken] = id;
        }
        return taken;
}

bool peer_list_has_changes(const PeerList *l) {
        return l->changes.n > 0 || l->urgent.n > 0;
}

bool peer_list_has_urgent_changes(const PeerList *l) {
        return l->urgent.n > 0;
}

/* ---- What a record goes through ---- */

/* Room for one more record, in all that it will ever be in. 0, -ENOMEM. */
static int reserve_record(PeerList *l) {
        size_t n = (size_t) l->table.n_records + 1;
        int r;

        r = peer_order_reserve(&l->order);
        if (r == 0)
                r = peer_sources_reserve(&l->sources);
        /* Each record is in a queue once; those that are gone are in it already. */
        if (r == 0)
                r = peer_changes_reserve(&l->changes, n);
        if (r == 0)
                r = peer_changes_reserve(&l->urgent, n);
        return r;
}

/* Lists a record under its endpoint; the lease is the caller's. */
static void list_record(PeerList *l, uint32_t slot) {
        PeerRecord *p = peer_table_at(&l->table, slot);

        assert(!p->active);
        p->active = true;
        peer_table_list_endpoint(&l->table, slot);
        peer_sources_add(&l->sources, &p->address);
        peer_order_set_active(&l->order, p->id, address_is_loopback(&p->address), true);
}

static void unlist_record(PeerList *l, uint32_t slot) {
        PeerRecord *p = peer_table_at(&l->table, slot);

        assert(p->active);
        peer_order_set_active(&l->order, p->id, address_is_loopback(&p->address), false);
        peer_sources_remove(&l->sources, &p->address);
        peer_table_unlist_endpoint(&l->table, slot);
        p->active = false;
}

static void deactivate(PeerList *l, uint32_t slot, const Now *now) {
        unlist_record(l, slot);
        peer_terms_remove(&l->leases, &l->table, slot);
        peer_terms_start(&l->waits, &l->table, slot, now->boottime, l->limits.retention_usec);
}

static void renew(PeerList *l, uint32_t slot, const Now *now) {
        peer_terms_remove(&l->leases, &l->table, slot);
        peer_terms_start(&l->leases, &l->table, slot, now->boottime, l->limits.ttl_usec);
}

/* An inactive record is forgotten; its id is never given again. */
static void forget(PeerList *l, uint32_t slot) {
        PeerRecord *p = peer_table_at(&l->table, slot);

        changed(l, p);
        peer_terms_remove(&l->waits, &l->table, slot);
        peer_order_remove(&l->order, p->id);
        peer_table_remove(&l->table, slot);
}

/* The active record that holds the endpoint and is not this one; SLOT_NONE: none. */
static uint32_t find_ghost(const PeerList *l, const Endpoint *endpoint, uint32_t slot) {
        uint32_t other = peer_table_find_active(&l->table, endpoint);

        return other == slot ? SLOT_NONE : other;
}

/* May one more be listed under the endpoint's source? Who takes a place that it has, or a ghost's, needs none. */
static bool source_has_room(const PeerList *l, uint32_t slot, uint32_t ghost, const Address *address) {
        if (ghost != SLOT_NONE)
                return true;
        if (slot != SLOT_NONE && peer_table_at(&l->table, slot)->active) {
                Address old = address_source(&peer_table_at(&l->table, slot)->address), new = address_source(address);

                if (address_equal(&old, &new))
                        return true;
        }
        return peer_sources_count(&l->sources, address) < l->limits.max_per_source;
}

/* Could a new record be made, if need be in the place of inactive ones (the ghost is one soon)? */
static bool table_has_room(const PeerList *l, uint32_t ghost) {
        size_t fixed = l->leases.n - (ghost != SLOT_NONE ? 1 : 0);

        return fixed < l->limits.max_peers && l->last_id < UINT32_MAX;
}

/* ---- Requests ---- */

/* Gives the slot, its name set; 0, -ENOMEM. Last thing that can fail. */
static int prepare_record(PeerList *l, const PeerRegistration *reg, uint32_t *slot) {
        PeerRecord *p;
        int r;

        r = reserve_record(l);
        if (r < 0)
                return r;
        if (*slot != SLOT_NONE)
                return peer_record_set_host(peer_table_at(&l->table, *slot), reg->host);

        r = peer_table_add(&l->table, reg->fresh_cookie, reg->host, slot);
        if (r < 0)
                return r;
        p = peer_table_at(&l->table, *slot);
        p->id = ++l->last_id;
        peer_order_append(&l->order, p->id, *slot);
        return 0;
}

int peer_list_register(PeerList *l, const PeerRegistration *reg, const Now *now,
                       uint32_t *ret_id, bool *ret_new, bool *ret_moved) {
        bool is_new = reg->cookie == 0, moved;
        uint32_t slot = SLOT_NONE, ghost;
        PeerRecord *p;
        int r;

        assert(!is_new || reg->fresh_cookie != 0);

        if (!is_new) {
                slot = peer_table_find_cookie(&l->table, reg->cookie);
                if (slot == SLOT_NONE)
                        return PEER_LIST_UNKNOWN;
        } else if (peer_table_find_cookie(&l->table, reg->fresh_cookie) != SLOT_NONE)
                return PEER_LIST_TAKEN;
        ghost = find_ghost(l, &reg->endpoint, slot);
        if (!source_has_room(l, slot, ghost, &reg->endpoint.address))
                return PEER_LIST_SOURCE_FULL;
        if (is_new && !table_has_room(l, ghost))
                return PEER_LIST_FULL;
        r = prepare_record(l, reg, &slot);
        if (r < 0)
                return r;

        p = peer_table_at(&l->table, slot);
        moved = !is_new && !address_equal(&p->address, &reg->endpoint.address);
        if (ghost != SLOT_NONE) {
                deactivate(l, ghost, now);
                changed_urgently(l, peer_table_at(&l->table, ghost));
        }
        if (p->active) {
                unlist_record(l, slot);
                peer_terms_remove(&l->leases, &l->table, slot);
        } else if (!is_new)
                peer_terms_remove(&l->waits, &l->table, slot);
        p->address = reg->endpoint.address;
        p->port = reg->endpoint.port;
        p->advertised = reg->advertised;
        list_record(l, slot);
        peer_terms_start(&l->leases, &l->table, slot, now->boottime, l->limits.ttl_usec);
        p->registered_at = now->realtime;
        peer_days_count(p, now->realtime);
        changed_urgently(l, p);
        while (is_new && l->table.n_records > l->limits.max_peers)
                forget(l, peer_terms_first(&l->waits, &l->table));

        *ret_id = p->id;
        *ret_new = is_new;
        *ret_moved = moved;
        return 0;
}

/* 0, UNKNOWN, INACTIVE (*ret is set). */
static int find_live(const PeerList *l, uint64_t cookie, const Now *now, uint32_t *ret) {
        uint32_t slot = peer_table_find_cookie(&l->table, cookie);
        const PeerRecord *p;

        if (slot == SLOT_NONE)
                return PEER_LIST_UNKNOWN;
        p = peer_table_at(&l->table, slot);
        *ret = slot;
        return p->active && p->expires_at > now->boottime ? 0 : PEER_LIST_INACTIVE;
}

/* An active record goes to another address; its lease is renewed by the caller. -ENOMEM, SOURCE_FULL. */
static int move_record(PeerList *l, uint32_t slot, const Address *address, const Now *now) {
        PeerRecord *p = peer_table_at(&l->table, slot);
        Endpoint endpoint = { .address = *address, .port = p->port };
        uint32_t ghost = find_ghost(l, &endpoint, slot);
        int r;

        if (!source_has_room(l, slot, ghost, address))
                return PEER_LIST_SOURCE_FULL;
        r = peer_sources_reserve(&l->sources);
        if (r < 0)
                return r;
        if (ghost != SLOT_NONE) {
                deactivate(l, ghost, now);
                changed_urgently(l, peer_table_at(&l->table, ghost));
        }
        unlist_record(l, slot);
        p->address = *address;
        p->advertised = false;
        list_record(l, slot);
        return 0;
}

int peer_list_keepalive(PeerList *l, uint64_t cookie, const Address *address, const Now *now,
                        uint32_t *ret_id, bool *ret_moved) {
        uint32_t slot;
        PeerRecord *p;
        bool moved;
        int r;

        r = find_live(l, cookie, now, &slot);
        if (r != 0)
                return r;
        p = peer_table_at(&l->table, slot);
        moved = !address_equal(&p->address, address);
        if (moved) {
                r = move_record(l, slot, address, now);
                if (r != 0)
                        return r;
        }
        renew(l, slot, now);
        changed(l, p);
        *ret_id = p->id;
        *ret_moved = moved;
        return 0;
}

int peer_list_touch(PeerList *l, uint64_t cookie, const Now *now, uint32_t *ret_id) {
        uint32_t slot;
        int r;

        r = find_live(l, cookie, now, &slot);
        if (r == PEER_LIST_UNKNOWN)
                return r;
        if (r == 0) {
                renew(l, slot, now);
                changed(l, peer_table_at(&l->table, slot));
        }
        *ret_id = peer_table_at(&l->table, slot)->id;
        return r;
}

int peer_list_leave(PeerList *l, uint64_t cookie, const Now *now, uint32_t *ret_id, bool *ret_was_active) {
        uint32_t slot = peer_table_find_cookie(&l->table, cookie);
        PeerRecord *p;
        bool was_active;

        if (slot == SLOT_NONE)
                return PEER_LIST_UNKNOWN;
        p = peer_table_at(&l->table, slot);
        was_active = p->active;
        if (was_active) {
                deactivate(l, slot, now);
                changed_urgently(l, p);
        }
        *ret_id = p->id;
        *ret_was_active = was_active;
        return 0;
}

/* ---- Time ---- */

static usec_t first_end(const PeerList *l, const PeerTerms *m) {
        uint32_t slot = peer_terms_first(m, &l->table);

        return slot == SLOT_NONE ? USEC_INFINITY : peer_table_at(&l->table, slot)->expires_at;
}

usec_t peer_list_next_expiry(const PeerList *l) {
        usec_t lease = first_end(l, &l->leases), wait = first_end(l, &l->waits);

        return MIN_OF(lease, wait);
}

bool peer_list_expire(PeerList *l, const Now *now, uint32_t *ret_id, bool *ret_forgotten) {
        uint32_t slot = peer_terms_first(&l->leases, &l->table);

        if (slot != SLOT_NONE && peer_table_at(&l->table, slot)->expires_at <= now->boottime) {
                deactivate(l, slot, now);
                changed(l, peer_table_at(&l->table, slot));
                *ret_id = peer_table_at(&l->table, slot)->id;
                *ret_forgotten = false;
                return true;
        }
        slot = peer_terms_first(&l->waits, &l->table);
        if (slot != SLOT_NONE && peer_table_at(&l->table, slot)->expires_at <= now->boottime) {
                *ret_id = peer_table_at(&l->table, slot)->id;
                *ret_forgotten = true;
                forget(l, slot);
                return true;
        }
        return false;
}

/* ---- Looking ---- */

static bool show(const PeerList *l, uint32_t slot, PeerInfo *ret) {
        const PeerRecord *p;

        if (slot == SLOT_NONE)
                return false;
        p = peer_table_at(&l->table, slot);
        *ret = (PeerInfo){
                .id = p->id,
                .cookie = p->cookie,
                .active = p->active,
                .advertised = p->advertised,
                .endpoint = { .address = p->address, .port = p->port },
                .expires_at = p->expires_at,
                .registered_at = p->registered_at,
                .first_day = p->first_day,
                .host = peer_record_host(p),
        };
        memcpy(ret->counts, p->counts, sizeof(ret->counts));
        return true;
}

bool peer_list_get(const PeerList *l, uint32_t id, PeerInfo *ret) {
        return show(l, peer_order_find(&l->order, id), ret);
}

bool peer_list_find(const PeerList *l, uint64_t cookie, PeerInfo *ret) {
        return show(l, peer_table_find_cookie(&l->table, cookie), ret);
}

bool peer_list_next(const PeerList *l, uint32_t after, PeerInfo *ret) {
        return show(l, peer_order_next(&l->order, after), ret);
}

void peer_list_look(const PeerList *l, uint32_t sampled, PeerListing *ret) {
        const PeerRecord *p = peer_table_at(&l->table, sampled);

        ret->endpoint = (Endpoint){ .address = p->address, .port = p->port };
        ret->id = p->id;
        ret->expires_at = p->expires_at;
        ret->host = (Slice){ peer_record_host(p), p->host_size };
}

void peer_list_look_ahead(const PeerList *l, uint32_t sampled) {
        __builtin_prefetch(peer_table_at(&l->table, sampled));
}

bool peer_list_next_active(const PeerList *l, uint32_t after, bool loopback, PeerListing *ret) {
        uint32_t slot = peer_order_next_active(&l->order, after, loopback);

        if (slot == SLOT_NONE)
                return false;
        peer_list_look(l, slot, ret);
        return true;
}

size_t peer_list_sample(const PeerList *l, uint32_t except, bool loopback, size_t n, uint64_t seed, uint32_t *ret) {
        return peer_order_sample(&l->order, except, loopback, n, seed, ret);
}

size_t peer_list_count(const PeerList *l) {
        return l->table.n_records;
}

size_t peer_list_count_active(const PeerList *l, bool loopback) {
        return peer_order_count_active(&l->order, loopback);
}

/* ---- From disk ---- */

/* The one of two active records with one endpoint whose lease ends first; its lease is over. */
static void restore_inactive(PeerList *l, uint32_t slot) {
        PeerRecord *p = peer_table_at(&l->table, slot);

        p->expires_at = usec_add(p->expires_at, l->limits.retention_usec);
        peer_terms_restore(&l->waits, &l->table, slot);
        changed(l, p);
}

static void restore_active(PeerList *l, uint32_t slot, const Endpoint *endpoint) {
        uint32_t ghost = find_ghost(l, endpoint, slot);
        usec_t end = peer_table_at(&l->table, slot)->expires_at;

        if (ghost != SLOT_NONE && peer_table_at(&l->table, ghost)->expires_at >= end) {
                restore_inactive(l, slot);
                return;
        }
        if (ghost != SLOT_NONE) {
                unlist_record(l, ghost);
                peer_terms_remove(&l->leases, &l->table, ghost);
                restore_inactive(l, ghost);
        }
        list_record(l, slot);
        peer_terms_restore(&l->leases, &l->table, slot);
}

int peer_list_restore_begin(PeerList *l, size_t n_expected) {
        assert(l->table.n_records == 0);
        return peer_table_expect(&l->table, n_expected);
}

int peer_list_restore_end(PeerList *l) {
        int r;

        r = peer_terms_sort_restored(&l->leases, &l->table);
        return r == 0 ? peer_terms_sort_restored(&l->waits, &l->table) : r;
}

int peer_list_restore(PeerList *l, const PeerInfo *info) {
        uint32_t slot;
        PeerRecord *p;
        int r;

        if (info->id <= peer_order_last_id(&l->order) || info->cookie == 0 ||
            peer_table_find_cookie(&l->table, info->cookie) != SLOT_NONE)
                return PEER_LIST_TAKEN;
        r = reserve_record(l);
        if (r == 0)
                r = peer_table_add(&l->table, info->cookie, slice_of(info->host), &slot);
        if (r != 0)
                return r;

        p = peer_table_at(&l->table, slot);
        p->id = info->id;
        p->address = info->endpoint.address;
        p->port = info->endpoint.port;
        p->advertised = info->advertised;
        p->expires_at = info->expires_at;
        p->registered_at = info->registered_at;
        p->first_day = info->first_day;
        memcpy(p->counts, info->counts, sizeof(p->counts));
        peer_order_append(&l->order, p->id, slot);
        l->last_id = MAX_OF(l->last_id, p->id);
        if (info->active)
                restore_active(l, slot, &info->endpoint);
        else
                peer_terms_restore(&l->waits, &l->table, slot);
        return 0;
}

void peer_list_set_last_id(PeerList *l, uint32_t last_id) {
        l->last_id = MAX_OF(l->last_id, last_id);
}

uint32_t peer_list_last_id(const PeerList *l) {
        return l->last_id;
}
