/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * JournalSender: entries to systemd-journald by its native protocol, one datagram each, without ever waiting.
 * sd_journal_send() blocks where the journal's queue is full: with journald stopped the watchdog then kills the daemon.
 * Entries are cut to fit a datagram by whoever makes them, so no memfd is passed.
 */

#include "core/base.h"

#include <sys/un.h>

#define JOURNAL_SOCKET_PATH "/run/systemd/journal/socket"

typedef struct JournalSender {
        int fd;                         /* owned; -1: none */
        struct sockaddr_un address;     /* unconnected: journald may be restarted at any time */
} JournalSender;

/* Opens the socket; whether somebody listens at path is seen at each entry. Negative errno; -ENAMETOOLONG. */
int journal_sender_init(JournalSender *s, const char *path) _must_check_;
void journal_sender_done(JournalSender *s);
/* One entry, as lines "FIELD=value\n". false: it was dropped (full, gone, or nobody there). Any thread. */
bool journal_sender_send(const JournalSender *s, Slice entry);
/* Is fd the stream that $JOURNAL_STREAM tells of? */
bool journal_owns_fd(int fd);
