/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The control socket of the peer, in its main loop: control.c (tables, requests), control-get.c (Get, Open, Refresh),
 * control-list.c (lists and status), control-keep.c (Pin, Unpin, Evict); control-search.c, -resolve.c, -describe.c, -import.c,
 * -explain.c, -monitor.c, -metrics.c, -sync.c, -verify.c (the method of that name); control-document.c is what documents
 * look like in all of them. What only another thread knows is asked there (control-job.c) and comes back as messages,
 * tagged with the id of a ControlRequest; when whoever asked has hung up, no request of that id is there any more, and the
 * message is dropped.
 */

#include "core/search.h"
#include "io/control.h"
#include "peerd/metrics.h"
#include "peerd/peerd.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <jansson.h>

typedef struct ControlRequest {
        RB_ENTRY(ControlRequest) node;
        Control *control;
        VarlinkCall *call;
        uint64_t id;
        uint64_t n_waiting;                     /* Get: numbers not yet done */
        /* the reply that may be the last: only then is it known how to send it */
        json_t *held;
        /* Waiting for a slow reader. */
        void (*go_on)(struct ControlRequest *r, void *data);
        void *go_on_data;
        /* Monitor: hears of what happens; events that it was too slow for since the last. */
        bool monitoring;
        uint64_t n_lost;
} ControlRequest;

static inline int control_request_compare(const ControlRequest *a, const ControlRequest *b) {
        return a->id < b->id ? -1 : a->id > b->id;
}
RB_HEAD(ControlRequestTree, ControlRequest);
RB_GENERATE_INTERNAL(ControlRequestTree, ControlRequest, node, control_request_compare, _unused_ static)

/* What goes to another thread and comes back; begun and ended in the main loop. The end of the program finds it. */
typedef struct ControlJob ControlJob;
struct ControlJob {
        LIST_ENTRY(ControlJob) link;
        void (*free)(ControlJob *j);
};

struct Control {
        Peerd *peerd;
        VarlinkServerConf conf;
        VarlinkServer *server;
        struct ControlRequestTree requests;
        LIST_HEAD(, ControlJob) jobs;
        uint64_t last_id;
        struct Monitor *monitor;
        uint64_t *n_requests;                   /* owned; by method and result, see request_labels */
        char *request_labels;                   /* owned; of MetricInfo */
};

/* free: frees what j is in. */
void control_job_begin(Control *c, ControlJob *j, void (*free)(ControlJob *j));
void control_job_end(ControlJob *j);

/*
 * What is looked up in the client's thread and answered from the main loop: the first member of what a method
 * allocates.
 */
typedef struct VisitJob VisitJob;
struct VisitJob {
        ControlJob job;
        ClientVisit visit;
        Control *control;
        uint64_t request;
        /* In the client's thread. true: call again; what else waits there gets its turn before. */
        bool (*look)(VisitJob *j, Client *c, Holders *h, bool servers_away, const Now *now);
        /* In the main loop, unless whoever asked has hung up. true: the job is not over. */
        bool (*answer)(VisitJob *j, ControlRequest *r);
};

/* Takes j, whose look and answer are set; free: frees what it is in, also on failure. */
int control_visit_start(Control *c, VarlinkCall *call, VisitJob *j, void (*free)(ControlJob *j)) _must_check_;
/* For an answer that has given true: look and answer once more. */
void control_visit_again(VisitJob *j);

/* Entries that are brought from the client's thread and sent at one go: some 200 µs of the main loop. */
#define LIST_BATCH 32
/* The index's lock is given back after this: what an entry costs depends on how many are said to hold it. */
#define LIST_SLICE_USEC (USEC_PER_MSEC / 2)
/* Records that a survey looks at per hold of the lock: some 200 µs. */
#define SURVEY_SLICE 512

/*
 * A list that is made in the client's thread, batch by batch: each batch comes to the main loop, is sent, and the job
 * goes back for the next, so that neither thread is away for long and a slow reader holds up nobody.
 *
 * A method fills in a template: member, fill, and what is listed; control_list_start() makes the job of it.
 */
typedef struct ListJob {
        VisitJob visit;
        const char *member;                     /* what a reply's entry is called */
        /* Adds up to LIST_BATCH entries to `batch`, perhaps none; true: there may be more. In the client's thread. */
        bool (*fill)(struct ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now);
        json_t *batch;                          /* array */
        bool more;
        /* where it stands, and what is listed */
        RfcSet set;
        bool all, at_risk, disputed;
        Search *search;                         /* owned */
        bool local, current;
        uint32_t number;
        bool has_endpoint;
        Endpoint endpoint;
        uint64_t transaction, after;
        json_t *names;                          /* owned */
        bool follow;
} ListJob;

/* Takes what template owns. */
int control_list_start(Control *c, VarlinkCall *call, ListJob *template) _must_check_;

/* As many holders of one RFC are shown. */
#define HOLDERS_SHOWN_MAX 1000

/*
 * What is known of that number, as Document, but for "path". Under the lock. meta: NULL: no editor's index. NULL: nobody
 * is known to hold it, or no memory.
 */
json_t *control_document(const RfcIndex *x, const RfcMeta *meta, const TrustConf *trust, uint32_t number,
                         const Now *now);
/* The path, if it is in the library. Needs no lock. */
void control_document_add_path(json_t *document, const Library *l);
/* The same, and how long it is meant to stay. Takes the lock. */
void control_document_add_keeping(json_t *document, Documents *d);
/* "status": "current" or "obsolete", where that is known. Under the lock. */
void control_set_status(json_t *j, const RfcMeta *meta, uint32_t number);
/* "trust". */
void control_set_trust(json_t *j, Grade grade);
/* As Holder: this peer, and another one. grade: of its text. In the client's thread. */
json_t *control_holder_self(const RfcRecord *own, Grade grade);
json_t *control_holder(const RfcRecord *r, Grade grade, const Holders *h, bool servers_away, const Now *now);

/* The texts of one number, for whoever shows its records. */
#define CONTROL_TEXTS_MAX 500
typedef struct ControlTexts {
        size_t n;
        TrustText texts[CONTROL_TEXTS_MAX];
} ControlTexts;

/* Under the lock. */
void control_texts(ControlTexts *t, const RfcIndex *x, const TrustConf *trust, uint32_t number, const Now *now);
/* Of a record of that number. */
Grade control_texts_grade(const ControlTexts *t, const Digest *digest);

/* NULL: no memory. */
ControlRequest *control_request_new(Control *c, VarlinkCall *call);
ControlRequest *control_request_find(Control *c, uint64_t id);
ControlRequest *control_request_free(ControlRequest *r);
void control_request_gone(VarlinkCall *call, void *data);
/*
 * One more reply of a stream; the one before goes out. Takes parameters; NULL (no memory for them) ends the stream.
 * < 0: whoever asked gets no more, and r will be gone in the next turn.
 */
int control_request_add(ControlRequest *r, json_t *parameters);
/* Calls go_on, now or when the reader has taken what was sent; with r NULL when whoever asked hung up meanwhile. */
void control_request_go_on(ControlRequest *r, void (*go_on)(ControlRequest *r, void *data), void *data);
/* r is gone, and the call is to be answered now. */
VarlinkCall *control_request_take(ControlRequest *r);
/* The stream is over: the reply held back is its last; without any an empty one. r is gone. */
void control_request_end(ControlRequest *r);

/* Numbers of one call: more than there are RFCs, and bounded. */
#define CONTROL_NUMBERS_MAX 20000
/* An RFC number out of a parameter (NULL: there is none). 0, -ERANGE. */
int control_number(const json_t *j, uint32_t *ret) _must_check_;
/* A point in the past on boottime, as people count. */
static inline usec_t control_realtime(usec_t boottime, const Now *now) {
        return usec_sub(now->realtime, usec_sub(now->boottime, boottime));
}

int control_get(VarlinkCall *call, json_t *parameters, void *userdata);
int control_open(VarlinkCall *call, json_t *parameters, void *userdata);
int control_open_editor_index(VarlinkCall *call, json_t *parameters, void *userdata);
int control_explain(VarlinkCall *call, json_t *parameters, void *userdata);
int control_monitor(VarlinkCall *call, json_t *parameters, void *userdata);
int control_pin(VarlinkCall *call, json_t *parameters, void *userdata);
int control_unpin(VarlinkCall *call, json_t *parameters, void *userdata);
int control_evict(VarlinkCall *call, json_t *parameters, void *userdata);
int control_import(VarlinkCall *call, json_t *parameters, void *userdata);
int control_verify(VarlinkCall *call, json_t *parameters, void *userdata);
int control_repair(VarlinkCall *call, json_t *parameters, void *userdata);
int control_refresh(VarlinkCall *call, json_t *parameters, void *userdata);
int control_sync(VarlinkCall *call, json_t *parameters, void *userdata);
int control_list(VarlinkCall *call, json_t *parameters, void *userdata);
int control_list_holders(VarlinkCall *call, json_t *parameters, void *userdata);
int control_search(VarlinkCall *call, json_t *parameters, void *userdata);
int control_resolve(VarlinkCall *call, json_t *parameters, void *userdata);
int control_describe(VarlinkCall *call, json_t *parameters, void *userdata);
int control_list_peers(VarlinkCall *call, json_t *parameters, void *userdata);
int control_get_status(VarlinkCall *call, json_t *parameters, void *userdata);
int control_get_metrics(VarlinkCall *call, json_t *parameters, void *userdata);
/* The type Download. NULL: no memory. Any thread. */
json_t *control_download(Control *c, const DownloadEvent *e);

/* What all Monitor calls share. One in a program. -ENOMEM. */
int control_monitor_new(Control *c) _must_check_;
/* No thread logs any more. */
void control_monitor_free(Control *c);
/* A request that monitors is about to go. */
void control_monitor_left(Control *c);

/* Control requests by method and result; conf.interfaces must be set. -ENOMEM. */
int control_counts_init(Control *c) _must_check_;
void control_counts_done(Control *c);
/* As VarlinkServerConf.finished tells. */
void control_count(Control *c, const char *method, const char *error);

/* How ListPeers and the metrics tell of a peer. */
PeerdPeerState control_peer_state(const HolderInfo *p, const Now *now);
const char *control_peer_state_name(PeerdPeerState s);

void control_on_download(const DownloadEvent *e, void *userdata);
void control_on_refresh(const RefreshEvent *e, void *userdata);
void control_on_sync(const SyncEvent *e, void *userdata);
