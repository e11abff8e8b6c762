/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tool, and a daemon that answers anything. The first byte chooses a command line, and the highest bit of it JSON; then come the replies,
 * each up to its NUL, whatever was asked. One that tells of a digest brings a file along.
 *
 * Whatever comes, the tool ends with an exit code, says nothing but text that a terminal may see (or JSON), and export leaves files of no other
 * names than its own. What get and list say on a terminal (progress) is not seen here: there is none.
 */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/rfc-number.h"
#include "core/text.h"
#include "ctl/complete.h"
#include "ctl/options.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 8
#define WORD_SIZE 256
#define FILES_MAX 32
#define DOCUMENT "RFC 7 as it is in a test.\n"

/* A new one goes to the end: inputs know them by their place. '@' becomes the test's directory. */
static const char *const lines[] = {
        "get 7",           "get 7 2549 9110", "get --follow bcp14 7",     "list",         "list --all 1-100 bcp14",
        "list --at-risk",  "search tcp",      "search --current a b",     "show 7",       "where 7",
        "why 7",           "verify",          "verify --repair 7",        "export --to=@/out", "export --to=@/out 7-9",
        "import @/rfc7.txt", "pin 7",         "unpin 7 8",                "evict --force 7", "peers",
        "status",          "--rs status",     "refresh",                  "refresh 192.0.2.1:65423", "sync",
        "sync --dry-run 7-9 bcp14", "join",   "leave",                    "monitor",      "metrics",
        "--rs metrics",    "log-level",       "log-level debug",          "--rs registrations --all", "--complete get 7",
        "--complete get ", "--complete refresh 1", "--no-legend list",
};

/* ---- what there is besides ---- */

static int listener = -1;

static const char *path(const char *name) {
        static char directory[sizeof(((struct sockaddr_un *) NULL)->sun_path) - sizeof("/control")], text[WORD_SIZE];

        if (!directory[0]) {
                const char *tmp = getenv("TMPDIR");

                assert(snprintf(directory, sizeof(directory), "%s/p2pdi-fuzz-XXXXXX", tmp ? tmp : "/tmp") < (int) sizeof(directory));
                assert(mkdtemp(directory));
        }
        (void) snprintf(text, sizeof(text), "%s%s", directory, name);
        return text;
}

static void remove_all(void) {
        (void) unlink(path("/control"));
        (void) unlink(path("/rfc7.txt"));
        (void) rmdir(path(""));
}

static void make_all(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd;

        if (listener >= 0)
                return;
        (void) unsetenv("TERM");        /* who runs this may have a terminal */
        fd = open(path("/rfc7.txt"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert(fd >= 0 && write(fd, DOCUMENT, strlen(DOCUMENT)) == (ssize_t) strlen(DOCUMENT));
        close(fd);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path("/control"));
        assert(listener >= 0 && bind(listener, (const struct sockaddr *) &sa, sizeof(sa)) == 0 && listen(listener, 1) == 0);
        (void) atexit(remove_all);
}

/* Of ctl.c, which has the main() of the tool: here each daemon has the same socket. */
int ctl_choose_daemon(Ctl *ctl, bool rs) {
        ctl->rs = rs;
        ctl->daemon = rs ? "p2pdi-rsd" : "p2pdi-peerd";
        return 0;
}

/* ---- the daemon ---- */

/* fd -1: none goes along. */
static void send_bytes(int to, Slice bytes, int fd) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
        struct iovec iov = { .iov_base = (char *) (uintptr_t) bytes.data, .iov_len = bytes.size };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
                mh.msg_control = &control;
                mh.msg_controllen = sizeof(control);
        }
        assert(sendmsg(to, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) bytes.size);
}

/* In as few pieces as there are files: the kernel takes more than a number of bytes for each. */
static void send_replies(int to, Slice bytes) {
        int n_files = 0;

        while (bytes.size > 0) {
                const char *digest = memmem(bytes.data, bytes.size, "\"sha256\"", strlen("\"sha256\""));
                const char *nul = digest ? memchr(digest, '\0', (size_t) (bytes.data + bytes.size - digest)) : NULL;
                const size_t n = nul && n_files < FILES_MAX ? (size_t) (nul - bytes.data) + 1 : bytes.size;
                int fd = -1;

                if (digest && n_files++ < FILES_MAX) {
                        fd = open(path("/rfc7.txt"), O_RDONLY | O_CLOEXEC);
                        assert(fd >= 0);
                }
                send_bytes(to, (Slice){ bytes.data, n }, fd);
                if (fd >= 0)
                        close(fd);
                bytes = (Slice){ bytes.data + n, bytes.size - n };
        }
}

/* All of it is there before anything is asked: so nobody waits for anybody. */
static int answer(Slice bytes) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        assert(fd >= 0);
        send_replies(fd, bytes);
        assert(shutdown(fd, SHUT_WR) == 0);
        return fd;
}

/* ---- the tool ---- */

static int split(const char *line, char words[WORDS_MAX][WORD_SIZE], char *argv[WORDS_MAX + 1]) {
        Slice rest = slice_of(line), word;
        int n = 0;

        while (slice_split(&rest, ' ', &word)) {
                const char *at = memchr(word.data, '@', word.size);
                const int before = (int) (at ? at - word.data : (ptrdiff_t) word.size);

                assert(n < WORDS_MAX);
                (void) snprintf(words[n], WORD_SIZE, "%.*s%s%.*s", before, word.data, at ? path("") : "",
                                at ? (int) word.size - before - 1 : 0, at ? at + 1 : "");
                argv[n] = words[n];
                n++;
        }
        argv[n] = NULL;
        return n;
}

static int run_verb(Ctl *ctl, int argc, char **argv) {
        const Verb *verb;
        unsigned given;
        int skip, r;

        optind = 0;                     /* getopt_long() begins anew */
        assert(options_parse(ctl, argc, argv, &given) == 0);
        assert(verb_find(argc - optind, argv + optind, &verb, &skip) == 0 && options_check(given, verb) == 0);
        r = ctl_choose_daemon(ctl, ctl->rs || !(verb->flags & VERB_PEER));
        assert(r == 0);
        return verb->run(ctl, argc - optind - skip, argv + optind + skip);
}

static int run_tool(const char *line, bool json, Slice replies) {
        char words[WORDS_MAX][WORD_SIZE], program[] = "p2pdi-ctl", *argv[WORDS_MAX + 2] = { program };
        const int argc = 1 + split(line, words, argv + 1);
        Ctl ctl = {
                .timeout = USEC_PER_DAY,
                .no_pager = true,
                .json = json ? SHOW_JSON_SHORT : SHOW_JSON_OFF,
                .style = { .header = true, .footer = true, .width = 60 },
        };
        int daemon, r;

        ctl.control = ctl.path = strdup(path("/control"));
        assert(ctl.path && varlink_client_connect(ctl.path, ctl.timeout, &ctl.client) == 0);
        daemon = answer(replies);
        if (argc > 1 && strcmp(argv[1], "--complete") == 0)
                r = complete_words(&ctl, argc - 2, argv + 2);
        else
                r = run_verb(&ctl, argc, argv);
        (void) varlink_client_free(ctl.client);
        free(ctl.path);
        close(daemon);
        ctl_set_silent(false);          /* --complete is for good */
        return r;
}

/* ---- what is to be seen of it ---- */

/* between: what may stand between two pieces of a line, beside what anybody may see. */
static void check_text(Slice text, uint32_t between) {
        Slice line;

        while (slice_split(&text, '\n', &line)) {
                Slice rest = line;
                uint32_t c;
                size_t n;

                for (; rest.size > 0; rest = (Slice){ rest.data + n, rest.size - n }) {
                        n = text_next_character(rest, &c);
                        assert(n > 0 && (!text_is_unfit(c) || c == between));
                }
        }
}

static void check_json(Slice text) {
        Slice line;

        while (slice_split(&text, '\n', &line)) {
                json_t *value = line.size > 0 ? json_loadb(line.data, line.size, JSON_DECODE_ANY, NULL) : NULL;

                assert(value || line.size == 0);
                json_decref(value);
        }
}

/* A file without a name of its own is overwritten by the next export. */
static void check_directory(void) {
        DIR *dir = opendir(path("/out"));
        struct dirent *entry;

        if (!dir)
                return;
        while ((entry = readdir(dir))) {
                const char *name = entry->d_name;
                uint32_t number;

                if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                        continue;
                assert(strcmp(name, "SHA256SUMS") == 0 || strcmp(name, "rfc-index.txt") == 0 || strcmp(name, ".p2pdi-export") == 0 ||
                       rfc_number_from_file_name(slice_of(name), &number) == 0);
                assert(unlinkat(dirfd(dir), name, 0) == 0);
        }
        closedir(dir);
        assert(rmdir(path("/out")) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        FILE *const before[] = { stdout, stderr };
        _cleanup_free_ char *out = NULL, *err = NULL;
        size_t out_size, err_size;
        bool json, completes;
        int r;

        if (size == 0)
                return 0;
        make_all();
        json = data[0] & 0x80;
        const char *line = lines[(data[0] & 0x7f) % ELEMENTSOF(lines)];

        completes = slice_starts_with(slice_of(line), "--complete");
        stdout = open_memstream(&out, &out_size);
        stderr = open_memstream(&err, &err_size);
        assert(stdout && stderr);
        r = run_tool(line, json, (Slice){ (const char *) data + 1, size - 1 });
        assert(fclose(stdout) == 0 && fclose(stderr) == 0);
        stdout = before[0];
        stderr = before[1];

        assert(r >= 0 && r <= CTL_DENIED);
        check_text((Slice){ out, out_size }, completes ? '\t' : '\n');
        check_text((Slice){ err, err_size }, '\n');
        if (json && !completes)
                check_json((Slice){ out, out_size });
        check_directory();
        return 0;
}
