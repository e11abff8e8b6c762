/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs of control requests: what goes to another thread and comes back. */

#include <errno.h>

#include "peerd/control-internal.h"

void control_job_begin(Control *c, ControlJob *j, void (*free)(ControlJob *j)) {
        j->free = free;
        LIST_INSERT_HEAD(&c->jobs, j, link);
}

void control_job_end(ControlJob *j) {
        LIST_REMOVE(j, link);
        j->free(j);
}

/* ---- VisitJob ---- */

static void run_answer(Message *m) {
        VisitJob *j = MESSAGE_OF(m, VisitJob, visit.message);
        ControlRequest *r = control_request_find(j->control, j->request);

        if (!r || !j->answer(j, r))
                control_job_end(&j->job);
}

static void run_look(ClientVisit *v, Client *c, Holders *h, bool servers_away, const Now *now) {
        VisitJob *j = MESSAGE_OF(v, VisitJob, visit);

        if (j->look(j, c, h, servers_away, now)) {
                client_visit(c, v);
                return;
        }
        v->message.run = run_answer;    /* client_visit() sets it anew */
        mailbox_post(j->control->peerd->mailbox, &v->message);
}

void control_visit_again(VisitJob *j) {
        client_visit(j->control->peerd->client, &j->visit);
}

int control_visit_start(Control *c, VarlinkCall *call, VisitJob *j, void (*free)(ControlJob *j)) {
        ControlRequest *r = control_request_new(c, call);

        j->control = c;
        if (!r) {
                free(&j->job);
                return -ENOMEM;
        }
        j->request = r->id;
        j->visit.run = run_look;
        control_job_begin(c, &j->job, free);
        control_visit_again(j);
        return 0;
}

/* ---- ListJob ---- */

static void list_job_free(ControlJob *job) {
        ListJob *j = MESSAGE_OF(job, ListJob, visit.job);

        json_decref(j->batch);
        rfc_set_done(&j->set);
        free(j->search);
        json_decref(j->names);
        free(j);
}

/* The reader has taken what was sent, or is gone (r NULL). */
static void go_on(ControlRequest *r, void *data) {
        ListJob *j = data;

        if (r)
                control_visit_again(&j->visit);
        else
                control_job_end(&j->visit.job);
}

static bool list_answer(VisitJob *visit, ControlRequest *r) {
        ListJob *j = MESSAGE_OF(visit, ListJob, visit);
        json_t *entry;
        size_t i;

        json_array_foreach(j->batch, i, entry)
                if (control_request_add(r, json_pack("{s:O}", j->member, entry)) < 0)
                        return false;   /* r will be gone in the next turn */
        json_decref(j->batch);
        j->batch = NULL;
        if (!j->more) {
                control_request_end(r);
                return false;
        }
        control_request_go_on(r, go_on, j);
        return true;
}

static bool list_look(VisitJob *visit, Client *c, Holders *h, bool servers_away, const Now *now) {
        ListJob *j = MESSAGE_OF(visit, ListJob, visit);

        j->batch = json_array();
        j->more = j->batch && j->fill(j, c, h, servers_away, now);
        return false;
}

int control_list_start(Control *c, VarlinkCall *call, ListJob *template) {
        ListJob *j = malloc(sizeof(*j));

        if (!j) {
                rfc_set_done(&template->set);
                free(template->search);
                json_decref(template->names);
                return -ENOMEM;
        }
        *j = *template;
        j->visit.look = list_look;
        j->visit.answer = list_answer;
        return control_visit_start(c, call, &j->visit, list_job_free);
}
