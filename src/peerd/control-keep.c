/* SPDX-License-Identifier: BSD-2-Clause */
/* Pin, Unpin, Evict: how long documents are to stay. The disk worker does it, slice by slice. */
#include "peerd/control-internal.h"

#include <errno.h>

#include "io/log.h"

/* What else waits for the disk worker waits at most this much longer. */
#define KEEP_SLICE_USEC (20 * USEC_PER_MSEC)

typedef enum KeepVerb { KEEP_PIN, KEEP_UNPIN, KEEP_EVICT } KeepVerb;

typedef struct KeepJob {
        ControlJob job;
        Message message;
        Control *control;
        uint64_t request;
        KeepVerb verb;
        bool force;
        json_t *batch;                          /* of Kept, to be sent */
        size_t n, at;
        uint32_t numbers[];
} KeepJob;

static void job_free(ControlJob *job) {
        KeepJob *j = MESSAGE_OF(job, KeepJob, job);

        json_decref(j->batch);
        free(j);
}

/* ---- in the disk worker ---- */

static int do_one(const KeepJob *j, uint32_t number) {
        Documents *d = j->control->peerd->documents;

        if (j->verb == KEEP_EVICT)
                return documents_evict(d, number, j->force);
        int k = library_set_pinned(documents_library(d), number, j->verb == KEEP_PIN);
        return k == LIBRARY_NONE ? DOCUMENTS_NONE : k;
}

static json_t *kept_json(uint32_t number, int result) {
        json_t *e = json_object();

        control_set_int(e, "number", number);
        control_set_string(e, "result", slice_of(result == 0                   ? "ok" :
                                                 result == DOCUMENTS_NONE      ? "not-held" :
                                                 result == DOCUMENTS_PINNED    ? "pinned" :
                                                 result == DOCUMENTS_LAST_COPY ? "last-copy" :
                                                                                 "failed"));
        if (result < 0)
                control_set_string(e, "message", slice_of(error_text(result)));
        return e;
}

static void run_told(Message *m);

static void run_keep(Message *m) {
        KeepJob *j = MESSAGE_OF(m, KeepJob, message);
        Now begin, at;

        now_read(&begin);
        do {
                uint32_t number = j->numbers[j->at++];

                (void) json_array_append_new(j->batch, kept_json(number, do_one(j, number)));
                now_read(&at);
        } while (j->at < j->n && at.boottime - begin.boottime < KEEP_SLICE_USEC);
        m->run = run_told;
        mailbox_post(j->control->peerd->mailbox, m);
}

/* ---- in the main loop ---- */

/* Whoever asked may have hung up: what was begun ends, so that half of it is not done by chance. */
static void go_on(ControlRequest *r, void *data) {
        KeepJob *j = data;

        (void) r;
        j->message.run = run_keep;
        worker_post(j->control->peerd->disk, &j->message);
}

static void run_told(Message *m) {
        KeepJob *j = MESSAGE_OF(m, KeepJob, message);
        ControlRequest *r = control_request_find(j->control, j->request);
        json_t *entry;
        size_t i;

        json_array_foreach(j->batch, i, entry)
                if (r && control_request_add(r, json_pack("{s:O}", "kept", entry)) < 0)
                        r = NULL;               /* it will be gone in the next turn */
        (void) json_array_clear(j->batch);
        if (j->at < j->n) {
                if (r)
                        control_request_go_on(r, go_on, j);
                else
                        go_on(NULL, j);
                return;
        }
        if (r)
                control_request_end(r);
        control_job_end(&j->job);
}

static int start(VarlinkCall *call, const json_t *parameters, void *userdata, KeepVerb verb) {
        const json_t *numbers = json_object_get(parameters, "numbers");
        size_t n = json_array_size(numbers);
        Control *c = userdata;
        ControlRequest *r;

        if (n == 0 || n > CONTROL_NUMBERS_MAX)
                return varlink_call_invalid(call, "numbers");
        KeepJob *j = calloc(1, sizeof(*j) + n * sizeof(*j->numbers));
        if (!j)
                return -ENOMEM;
        for (; j->n < n; j->n++)
                if (control_number(json_array_get(numbers, j->n), &j->numbers[j->n]) < 0) {
                        free(j);
                        return varlink_call_invalid(call, "numbers");
                }
        j->control = c;
        j->verb = verb;
        j->force = json_is_true(json_object_get(parameters, "force"));
        j->batch = json_array();
        r = j->batch ? control_request_new(c, call) : NULL;
        if (!r) {
                job_free(&j->job);
                return -ENOMEM;
        }
        j->request = r->id;
        control_job_begin(c, &j->job, job_free);
        go_on(r, j);
        return 0;
}

int control_pin(VarlinkCall *call, json_t *parameters, void *userdata) {
        return start(call, parameters, userdata, KEEP_PIN);
}

int control_unpin(VarlinkCall *call, json_t *parameters, void *userdata) {
        return start(call, parameters, userdata, KEEP_UNPIN);
}

int control_evict(VarlinkCall *call, json_t *parameters, void *userdata) {
        return start(call, parameters, userdata, KEEP_EVICT);
}
