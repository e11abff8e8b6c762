/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/journal-send.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int journal_sender_init(JournalSender *s, const char *path) {
        JournalSender sender = { .address.sun_family = AF_UNIX };
        size_t size = strlen(path);

        if (size >= sizeof(sender.address.sun_path))
                return -ENAMETOOLONG;
        memcpy(sender.address.sun_path, path, size);

        sender.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (sender.fd < 0)
                return -errno;
        *s = sender;
        return 0;
}

void journal_sender_done(JournalSender *s) {
        if (s->fd >= 0)
                (void) close(s->fd);
        s->fd = -1;
}

bool journal_sender_send(const JournalSender *s, Slice entry) {
        ssize_t n;

        /* No signal can keep this busy for long: a non-blocking send does not sleep. */
        do
                n = sendto(s->fd, entry.data, entry.size, MSG_NOSIGNAL | MSG_DONTWAIT,
                           (const struct sockaddr *) &s->address, sizeof(s->address));
        while (n < 0 && errno == EINTR);
        return n == (ssize_t) entry.size;
}

bool journal_owns_fd(int fd) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;
        int end = 0;

        if (!stream || sscanf(stream, "%llu:%llu%n", &device, &inode, &end) != 2 || stream[end] != '\0')
                return false;
        return fstat(fd, &st) == 0 && st.st_dev == (dev_t) device && st.st_ino == (ino_t) inode;
}
