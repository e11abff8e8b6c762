/* SPDX-License-Identifier: BSD-2-Clause */
/* Verify and Repair: the disk worker reads documents anew, slice by slice; what is damaged may then be had anew. */
#include "peerd/control-internal.h"

#include <errno.h>

#include "core/text.h"
#include "io/log.h"

/* What else waits for the disk worker waits at most this much longer, and one document. */
#define VERIFY_SLICE_USEC (20 * USEC_PER_MSEC)
#define VERIFY_PROGRESS_USEC (100 * USEC_PER_MSEC)

typedef struct VerifyJob {
        ControlJob job;
        Message message;
        Control *control;
        uint64_t request;
        bool repair;
        uint32_t *numbers;                      /* owned; NULL: all */
        size_t n_numbers, at;
        uint32_t after;                         /* of all: the last one that was read */
        usec_t began_at, told_at;               /* boottime */
        bool more;
        json_t *batch;                          /* of Verified, to be sent */
        /* counts */
        size_t n_total, n_documents, n_damaged;
        uint64_t total_bytes, bytes;
        uint32_t *damaged;                      /* owned: to be repaired */
        int error;                              /* it can't go on */
} VerifyJob;

static void job_free(ControlJob *job) {
        VerifyJob *j = MESSAGE_OF(job, VerifyJob, job);

        json_decref(j->batch);
        free(j->numbers);
        free(j->damaged);
        free(j);
}

/* ---- in the disk worker ---- */

static int keep_damaged(VerifyJob *j, uint32_t number) {
        uint32_t *p = reallocarray(j->damaged, j->n_damaged + 1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        j->damaged = p;
        p[j->n_damaged++] = number;
        return 0;
}

static json_t *verified_json(uint32_t number, const LibraryVerdict *v) {
        json_t *e = json_object();
        char text[DIGEST_TEXT_SIZE];

        control_set_int(e, "number", number);
        if (!v) {
                control_set_string(e, "result", SLICE_LITERAL("not-held"));
                return e;
        }
        bool damaged = v->kind == LIBRARY_VERDICT_DAMAGED;
        control_set_string(e, "result", damaged ? SLICE_LITERAL("damaged") : SLICE_LITERAL("unreadable"));
        if (!damaged)
                return e;
        control_set_int(e, "size", v->size);
        if (v->has_digest)
                control_set_digest(e, &v->found);
        digest_to_text(&v->expected, text);
        control_set_string(e, "expected", slice_of(text));
        return e;
}

static void log_damaged(uint32_t number, const LibraryVerdict *v) {
        const LogFields f = {
                .operation = "verify",
                .result = "mismatch",
                .rfc = number,
                .sha256 = v->has_digest ? &v->found : NULL,
                .sha256_expected = &v->expected,
                .has_size = true,
                .size = v->size,
                .source = "local",
        };

        log_entry(LOG_LEVEL_ERR, LOG_EVENT_DAMAGED, &f,
                  "RFC %u is damaged and taken out of the index: %s. The file is left as it is.", number,
                  v->has_digest ? "its bytes are not what they should be" : "it can't be read");
}

/* Does the administrator say what it is to be? */
static bool manifest_names(Documents *d, uint32_t number, Digest *ret) {
        (void) documents_lock(d);
        const Manifest *manifest = documents_trust(d)->manifest;
        const Digest *named = manifest ? manifest_get(manifest, number) : NULL;
        if (named)
                *ret = *named;
        documents_unlock(d);
        return named;
}

static int verify_one(VerifyJob *j, uint32_t number) {
        Documents *d = j->control->peerd->documents;
        Library *l = documents_library(d);
        LibraryVerdict v;
        Digest wanted;
        int k = library_verify(l, number, manifest_names(d, number, &wanted) ? &wanted : NULL, &v);

        if (k < 0)
                return k;
        if (k == LIBRARY_NONE) {
                if (j->numbers)         /* else it went away meanwhile */
                        (void) json_array_append_new(j->batch, verified_json(number, NULL));
                return 0;
        }
        j->n_documents++;
        j->bytes += v.size;
        if (v.kind == LIBRARY_VERDICT_GOOD)
                return 0;
        (void) json_array_append_new(j->batch, verified_json(number, &v));
        if (v.kind == LIBRARY_VERDICT_UNREADABLE)
                return 0;
        log_damaged(number, &v);
        if (j->repair)
                library_allow_repair(l, number);
        return keep_damaged(j, number);
}

/* 0: none is left. */
static uint32_t next_number(VerifyJob *j) {
        if (j->numbers)
                return j->at < j->n_numbers ? j->numbers[j->at++] : 0;
        j->after = library_next_number(documents_library(j->control->peerd->documents), j->after);
        return j->after;
}

static void run_told(Message *m);

static void run_verify(Message *m) {
        VerifyJob *j = MESSAGE_OF(m, VerifyJob, message);
        Now begin, at;

        now_read(&begin);
        j->more = true;
        do {
                uint32_t number = next_number(j);

                j->more = number > 0;
                if (j->more)
                        j->error = verify_one(j, number);
                now_read(&at);
        } while (j->more && j->error == 0 && at.boottime - begin.boottime < VERIFY_SLICE_USEC);
        m->run = run_told;
        mailbox_post(j->control->peerd->mailbox, m);
}

/* ---- in the main loop ---- */

static void go_on(ControlRequest *r, void *data) {
        VerifyJob *j = data;

        if (!r) {
                control_job_end(&j->job);
                return;
        }
        j->message.run = run_verify;
        worker_post(j->control->peerd->disk, &j->message);
}

static json_t *progress_json(const VerifyJob *j, const Now *now) {
        json_t *e = json_object();

        control_set_int(e, "documents", j->n_documents);
        control_set_int(e, "documentsTotal", MAX_OF(j->n_total, j->n_documents));
        control_set_int(e, "bytes", j->bytes);
        if (!j->numbers)
                control_set_int(e, "bytesTotal", MAX_OF(j->total_bytes, j->bytes));
        control_set_int(e, "damaged", j->n_damaged);
        control_set_int(e, "durationUSec", usec_sub(now->boottime, j->began_at));
        return json_pack("{s:o}", "progress", e);
}

static void fail(ControlRequest *r, int error) {
        (void) log_errno(LOG_LEVEL_ERR, error, "The library could not be verified");
        (void) varlink_call_errno(control_request_take(r), error);
}

/* All is read. What was damaged is had as any other: control_on_download() tells, and ends the request. */
static void finish(VerifyJob *j, ControlRequest *r, const Now *now) {
        Client *client = j->control->peerd->client;

        if (!j->repair || j->n_damaged == 0) {
                if (control_request_add(r, progress_json(j, now)) == 0)
                        control_request_end(r);
                return;
        }
        if (varlink_call_notify(r->call, progress_json(j, now)) < 0)
                return;                         /* r will be gone in the next turn */
        r->n_waiting = j->n_damaged;
        int k = client_get(client, r->id, random_u64() | 1, j->damaged, j->n_damaged);
        if (k < 0)
                fail(r, k);
}

/* false: the reader is gone. */
static bool send_batch(VerifyJob *j, ControlRequest *r) {
        bool good = true;
        json_t *entry;
        size_t i;

        json_array_foreach(j->batch, i, entry)
                good = good && varlink_call_notify(r->call, json_pack("{s:O}", "document", entry)) == 0;
        (void) json_array_clear(j->batch);
        return good;
}

static void run_told(Message *m) {
        VerifyJob *j = MESSAGE_OF(m, VerifyJob, message);
        ControlRequest *r = control_request_find(j->control, j->request);
        Now now;

        now_read(&now);
        if (r && j->error < 0)
                fail(r, j->error);
        else if (r && send_batch(j, r)) {
                if (j->more && usec_sub(now.boottime, j->told_at) >= VERIFY_PROGRESS_USEC) {
                        j->told_at = now.boottime;
                        (void) varlink_call_notify(r->call, progress_json(j, &now));
                }
                if (j->more) {
                        control_request_go_on(r, go_on, j);
                        return;
                }
                finish(j, r, &now);
        }
        control_job_end(&j->job);
}

static int compare_numbers(const void *a, const void *b) {
        const uint32_t *x = a, *y = b;
        return (*x > *y) - (*x < *y);
}

/* 0, -ENOMEM, -EINVAL: none, too many, or no RFC numbers. */
static int take_numbers(VerifyJob *j, const json_t *numbers) {
        size_t n = json_array_size(numbers);

        if (!numbers)
                return 0;
        if (n == 0 || n > CONTROL_NUMBERS_MAX)
                return -EINVAL;
        j->numbers = reallocarray(NULL, n, sizeof(*j->numbers));
        if (!j->numbers)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (control_number(json_array_get(numbers, i), &j->numbers[i]) < 0)
                        return -EINVAL;
        qsort(j->numbers, n, sizeof(*j->numbers), compare_numbers);
        for (size_t i = 0; i < n; i++)
                if (i == 0 || j->numbers[i] != j->numbers[i - 1])
                        j->numbers[j->n_numbers++] = j->numbers[i];
        j->n_total = j->n_numbers;
        return 0;
}

static int start(VarlinkCall *call, const json_t *parameters, void *userdata, bool repair) {
        Control *c = userdata;
        VerifyJob *j = calloc(1, sizeof(*j));
        Now now;

        if (!j)
                return -ENOMEM;
        now_read(&now);
        j->control = c;
        j->repair = repair;
        j->began_at = j->told_at = now.boottime;
        j->batch = json_array();
        documents_count(c->peerd->documents, &j->n_total, &j->total_bytes);
        int k = j->batch ? take_numbers(j, json_object_get(parameters, "numbers")) : -ENOMEM;
        ControlRequest *r = k == 0 ? control_request_new(c, call) : NULL;
        if (!r) {
                job_free(&j->job);
                return k == -EINVAL ? varlink_call_invalid(call, "numbers") : -ENOMEM;
        }
        j->request = r->id;
        control_job_begin(c, &j->job, job_free);
        go_on(r, j);
        return 0;
}

int control_verify(VarlinkCall *call, json_t *parameters, void *userdata) {
        return start(call, parameters, userdata, false);
}

int control_repair(VarlinkCall *call, json_t *parameters, void *userdata) {
        return start(call, parameters, userdata, true);
}
