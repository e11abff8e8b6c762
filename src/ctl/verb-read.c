/* SPDX-License-Identifier: BSD-2-Clause */
/* cat and read: the documents themselves. */

#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/get.h"
#include "ctl/pager.h"
#include "ctl/resolve.h"
#include "ctl/screen.h"
#include "io/write-all.h"

#define BLOCK_SIZE 65536

typedef struct Copy {
        const Ctl *pager;               /* whose pager the document goes to; NULL: none */
        bool filtered;                  /* as screen.h has it; else byte for byte */
        Screen screen;
        Buf out;                        /* of a block, filtered */
        bool unwritten;                 /* it is standard output that failed */
} Copy;

/* Before a pager takes the place of standard output. */
static void copy_init(Copy *copy, const Ctl *ctl) {
        *copy = (Copy){ .filtered = isatty(STDOUT_FILENO) && !ctl->raw, .out = BUF_INIT(BLOCK_SIZE * SCREEN_GROWTH) };
}

static void copy_done(Copy *copy) {
        buf_done(&copy->out);
}

static int write_out(Copy *copy, const char *data, size_t size) {
        int r = write_all(STDOUT_FILENO, (Slice){ data, size });

        if (r < 0)
                copy->unwritten = true;
        return r;
}

/* size 0: the end. */
static int copy_block(Copy *copy, const char *data, size_t size) {
        int r;

        if (!copy->filtered)
                return write_out(copy, data, size);
        r = size > 0 ? screen_filter(&copy->screen, (Slice){ data, size }, &copy->out)
                     : screen_end(&copy->screen, &copy->out);
        if (r == 0)
                r = write_out(copy, copy->out.data, copy->out.size);
        buf_clear(&copy->out);
        return r;
}

static int copy_out(Copy *copy, int fd) {
        char block[BLOCK_SIZE];

        for (;;) {
                ssize_t n = read(fd, block, sizeof(block));
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = copy_block(copy, block, (size_t) n);
                if (r < 0 || n == 0)
                        return r;
        }
}

static int copy_on_reply(json_t *parameters, int fd, void *userdata) {
        const json_t *document = json_object_get(parameters, "document");
        Copy *copy = userdata;
        int r = 0;

        if (fd < 0)
                return ctl_fail(CTL_FAILURE, "RFC %" PRIu64 ": no file descriptor came with the reply.",
                                member_uint(document, "number"));
        /* Not before there is something to show: from then on an interrupt is the pager's. */
        if (copy->pager)
                r = ctl_open_pager(copy->pager);
        return r < 0 ? r : copy_out(copy, fd);
}

/* What is behind the documents: whoever leaves the pager has read enough. */
static int copy_result(const Copy *copy, int r) {
        if (r >= 0 || !copy->unwritten)
                return r;
        if (r == -EPIPE && pager_is_open())
                return 0;
        return ctl_fail(CTL_FAILURE, "Cannot write to standard output: %s.", strerror(-r));
}

static int copy_document(Ctl *ctl, Copy *copy, uint32_t number) {
        json_t *parameters = json_pack("{s:I}", "number", (json_int_t) number);

        if (!parameters)
                return -ENOMEM;
        return ctl_call(ctl, "org.p2pdi.Peer.Open", parameters, copy_on_reply, copy);
}

static int copy_documents(Ctl *ctl, Copy *copy, const Get *g, int code) {
        for (size_t i = 0; i < g->numbers.n; i++) {
                int r;

                if (!g->good[i])
                        continue;
                r = copy_document(ctl, copy, g->numbers.asked[i]);
                if (r < 0)
                        return copy_result(copy, r);
                code = MAX_OF(code, r);
                /* Nothing more comes over this connection. */
                if (r == CTL_TIMEOUT)
                        break;
        }
        return code;
}

int verb_cat(Ctl *ctl, int argc, char **argv) {
        _cleanup_(resolved_done) Resolved names = {};
        _cleanup_(get_done) Get g = { .quiet = true };
        _cleanup_(copy_done) Copy copy = {};
        int code, r;

        copy_init(&copy, ctl);
        r = resolve_arguments(ctl, argc, argv, false, &names);
        if (r != 0)
                return r;
        r = get_init(&g, names.argc, names.argv);
        if (r != 0)
                return r;
        code = get_run(ctl, &g);
        return code < 0 ? code : copy_documents(ctl, &copy, &g, MAX_OF(code, names.code));
}

/* Of an alias all that could be had, one behind the other. */
int verb_read(Ctl *ctl, int argc, char **argv) {
        _cleanup_(resolved_done) Resolved names = {};
        _cleanup_(get_done) Get g = { .quiet = true };
        _cleanup_(copy_done) Copy copy = {};
        int r;

        copy_init(&copy, ctl);
        r = resolve_one(ctl, argc, argv, &names);
        if (r != 0)
                return r;
        r = get_init(&g, names.argc, names.argv);
        if (r == 0)
                r = get_run(ctl, &g);
        copy.pager = ctl;
        return r < 0 ? r : copy_documents(ctl, &copy, &g, r);
}
