/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/bar.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/terminal.h"
#include "io/loop.h"

/* One drawing: a screen full of lines. */
#define DRAWING_MAX (256u << 10)
#define FAREWELL_MAX 256

static Bar *current;            /* NULL: none */

/* What a signal handler writes, and may look at. */
static char last_words[FAREWELL_MAX];
static volatile sig_atomic_t last_words_size;
static volatile sig_atomic_t was_continued;
static const char *last_sentence;

static struct sigaction before_interrupt, before_terminate, before_continue;

/* The bytes that take the bar off, and the sentence. A handler that comes meanwhile says nothing rather than half of it. */
static void prepare_last_words(unsigned n_lines) {
        char text[FAREWELL_MAX], up[32] = "";
        int n;

        if (n_lines > 0)
                (void) snprintf(up, sizeof(up), "\r\x1b[%uA\x1b[J", n_lines);
        n = snprintf(text, sizeof(text), "%s%s", up, last_sentence ? last_sentence : "");
        last_words_size = 0;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        memcpy(last_words, text, (size_t) n);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        last_words_size = n;
}

/* Only what a handler may call. */
static void on_end(int signal_number) {
        struct sigaction by_default = { .sa_handler = SIG_DFL };

        if (last_words_size > 0 && write(STDERR_FILENO, last_words, (size_t) last_words_size) < 0) {
                /* Then nobody sees it. */
        }
        (void) sigaction(signal_number, &by_default, NULL);
        /* Comes as soon as this returns. */
        (void) raise(signal_number);
}

static void on_continue(_unused_ int signal_number) {
        was_continued = 1;
}

/* What is ignored stays so. */
static void take_signal(int signal_number, void (*handler)(int), struct sigaction *ret_before) {
        struct sigaction ours = { .sa_handler = handler, .sa_flags = SA_RESTART };

        (void) sigaction(signal_number, NULL, ret_before);
        if (ret_before->sa_handler != SIG_IGN)
                (void) sigaction(signal_number, &ours, NULL);
}

/* In one piece: who reads along sees no half. */
static void put(const Buf *out) {
        if (out->size > 0 && write(STDERR_FILENO, out->data, out->size) < 0) {
                /* A terminal that is gone: the answer does not depend on it. */
        }
}

static void draw(Bar *b) {
        _cleanup_buf_ Buf out = BUF_INIT(DRAWING_MAX);
        Now now;

        now_read(&now);
        /* The shell wrote below it meanwhile. */
        if (was_continued)
                b->progress.n_drawn = 0;
        was_continued = 0;
        /* Not across what somebody does in the foreground. */
        if (tcgetpgrp(STDERR_FILENO) != getpgrp())
                return;
        b->drawn_at = now.boottime;
        if (progress_draw(&b->progress, now.boottime, terminal_width(STDERR_FILENO), terminal_height(STDERR_FILENO),
                          &out) != 0)
                return;
        prepare_last_words(b->progress.n_drawn);
        put(&out);
}

int bar_begin(Bar *b, bool wanted, const char *farewell, const uint32_t *numbers, size_t n) {
        Now now;
        int r;

        now_read(&now);
        b->shown = wanted && terminal_is_smart(STDERR_FILENO);
        r = b->shown ? progress_init(&b->progress, numbers, n, now.boottime) : 0;
        if (r < 0)
                return r;
        current = b;
        last_sentence = farewell;
        prepare_last_words(0);
        take_signal(SIGINT, on_end, &before_interrupt);
        take_signal(SIGTERM, on_end, &before_terminate);
        take_signal(SIGCONT, on_continue, &before_continue);
        return 0;
}

void bar_end(Bar *b) {
        if (current != b)
                return;
        bar_hide();
        (void) sigaction(SIGINT, &before_interrupt, NULL);
        (void) sigaction(SIGTERM, &before_terminate, NULL);
        (void) sigaction(SIGCONT, &before_continue, NULL);
        current = NULL;
        progress_done(&b->progress);
}

void bar_update(Bar *b, size_t place, ProgressState state, uint64_t size, uint64_t received, const char *holder) {
        Now now;

        if (!b->shown)
                return;
        now_read(&now);
        progress_update(&b->progress, place, state, size, received, holder, now.boottime);
        bar_tick(b);
}

void bar_set_sum(Bar *b, const ProgressSum *sum) {
        if (!b->shown)
                return;
        progress_set_sum(&b->progress, sum);
        bar_tick(b);
}

void bar_tick(Bar *b) {
        Now now;

        if (!b->shown)
                return;
        now_read(&now);
        if (usec_sub(now.boottime, b->drawn_at) >= BAR_INTERVAL)
                draw(b);
}

void bar_hide(void) {
        _cleanup_buf_ Buf out = BUF_INIT(FAREWELL_MAX);

        if (!current || current->progress.n_drawn == 0 || progress_erase(&current->progress, &out) != 0)
                return;
        prepare_last_words(0);
        put(&out);
}
