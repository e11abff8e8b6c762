/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf-files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/text.h"
#include "io/close.h"
#include "io/conf-ini.h"

void conf_issues_done(ConfIssues *i) {
        for (size_t k = 0; k < i->n_issues; k++) {
                free(i->issues[k].file);
                free(i->issues[k].text);
        }
        free(i->issues);
        *i = (ConfIssues){ 0 };
}

/* The last place says how many did not find one; the issue that had it is among them. */
static int report_more(ConfReport *r, bool is_error) {
        ConfIssue *last = &r->issues->issues[CONF_ISSUES_MAX - 1];
        char *text = NULL;

        r->n_more += r->n_more == 0 ? 2 : 1;
        if (asprintf(&text, "There are %zu more errors and warnings.", r->n_more) < 0)
                return -ENOMEM;
        free(last->text);
        free(last->file);
        *last = (ConfIssue){ .is_error = last->is_error || is_error, .text = text };
        return 0;
}

int conf_report(ConfReport *r, bool is_error, const char *file, unsigned line, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *name = NULL;
        ConfIssues *issues = r->issues;
        va_list ap;
        int n;

        r->failed = r->failed || is_error;
        if (issues->n_issues == CONF_ISSUES_MAX)
                return report_more(r, is_error);

        if (!issues->issues) {
                issues->issues = calloc(CONF_ISSUES_MAX, sizeof(*issues->issues));
                if (!issues->issues)
                        return -ENOMEM;
        }
        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        name = strdup(file);
        if (!name)
                return -ENOMEM;
        ConfIssue *issue = &issues->issues[issues->n_issues++];
        *issue = (ConfIssue){ .is_error = is_error, .line = line };
        issue->file = TAKE_PTR(name);
        issue->text = TAKE_PTR(text);
        return 0;
}

StringList string_list_free(StringList l) {
        for (StringList s = l; s && *s; s++)
                free(*s);
        free(l);
        return NULL;
}

size_t string_list_size(StringList l) {
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

int string_list_append(StringList *l, char *s) {
        size_t n = string_list_size(*l);
        StringList larger;

        larger = s ? reallocarray(*l, n + 2, sizeof(*larger)) : NULL;
        if (!larger) {
                free(s);
                return -ENOMEM;
        }
        larger[n] = s;
        larger[n + 1] = NULL;
        *l = larger;
        return 0;
}

/* This host fails, and may not the next time: the configuration is not at fault, nobody shall wait for another one. */
static bool host_failed(int error) {
        return error == ENOMEM || error == EMFILE || error == ENFILE;
}

static char *path_of(const char *dir, const char *name) {
        char *path;

        return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* The one of the strongest tree. A link to nowhere counts: that it can't be read is told, not passed over. */
static int find_main_file(const ConfRequest *request, const char *name, ConfReport *report, StringList *files) {
        for (size_t i = ELEMENTSOF(request->roots.dirs); i-- > 0;) {
                _cleanup_free_ char *path = path_of(request->roots.dirs[i], name);
                struct stat st;

                if (!path)
                        return -ENOMEM;
                if (lstat(path, &st) == 0)
                        return string_list_append(files, TAKE_PTR(path));
                if (errno != ENOENT && errno != ENOTDIR)
                        return conf_report(report, true, path, 0, "The file can't be looked up: %s.", strerror(errno));
        }
        return 0;
}

/* A drop-in: its path, and the name in it that it goes by. */
static const char *name_in(const char *path) {
        return strrchr(path, '/') + 1;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(name_in(*(char *const *) a), name_in(*(char *const *) b));
}

/* A later tree's file takes the place of one of the same name. Takes path, also when it fails. */
static int add_drop_in(StringList *drop_ins, char *path) {
        if (!path)
                return -ENOMEM;
        for (StringList s = *drop_ins; s && *s; s++)
                if (strcmp(name_in(*s), name_in(path)) == 0) {
                        free(*s);
                        *s = path;
                        return 0;
                }
        return string_list_append(drop_ins, path);
}

static bool is_drop_in_name(const char *name) {
        size_t n = strlen(name);

        return name[0] != '.' && n > strlen(".ini") && strcmp(name + n - strlen(".ini"), ".ini") == 0;
}

static int find_drop_ins_in(const char *dir, ConfReport *report, StringList *drop_ins) {
        _cleanup_(close_dir) DIR *d = opendir(dir);
        const struct dirent *entry;
        int r;

        if (!d) {
                if (errno == ENOENT || errno == ENOTDIR)
                        return 0;
                if (host_failed(errno))
                        return -errno;
                return conf_report(report, true, dir, 0, "The directory can't be read: %s.", strerror(errno));
        }
        for (;;) {
                errno = 0;
                entry = readdir(d);
                if (!entry)
                        break;
                if (!is_drop_in_name(entry->d_name))
                        continue;
                r = add_drop_in(drop_ins, path_of(dir, entry->d_name));
                if (r < 0)
                        return r;
                if (string_list_size(*drop_ins) > CONF_DROP_INS_MAX)
                        return conf_report(report, true, dir, 0, "There are more than %zu drop-ins.",
                                           CONF_DROP_INS_MAX);
        }
        if (errno != 0)
                return conf_report(report, true, dir, 0, "The directory can't be read: %s.", strerror(errno));
        return 0;
}

static int find_drop_ins(const ConfRequest *request, const char *name, ConfReport *report, StringList *files) {
        _cleanup_(string_list_free_p) StringList drop_ins = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(request->roots.dirs) && !report->failed; i++) {
                _cleanup_free_ char *dir = NULL;

                if (asprintf(&dir, "%s/%s.d", request->roots.dirs[i], name) < 0) {
                        dir = NULL;
                        return -ENOMEM;
                }
                r = find_drop_ins_in(dir, report, &drop_ins);
                if (r < 0)
                        return r;
        }
        if (drop_ins)
                qsort(drop_ins, string_list_size(drop_ins), sizeof(*drop_ins), compare_names);

        for (StringList s = drop_ins; s && *s; s++) {
                r = string_list_append(files, strdup(*s));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What an instance may be called, so that file names, unit names and directories are the same text. */
static bool instance_is_valid(const char *s) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.-";
        size_t n = strlen(s);

        return n > 0 && n <= 64 && s[0] != '.' && strspn(s, allowed) == n;
}

int conf_find_files(const ConfRequest *request, ConfReport *report, StringList *ret) {
        _cleanup_(string_list_free_p) StringList files = NULL;
        char name[128] = "rs.ini";
        int r;

        if (request->instance && !instance_is_valid(request->instance))
                return conf_report(report, true, "", 0,
                                   "An instance's name is of letters, digits and :_.- only, at most 64.");

        if (request->file)
                r = string_list_append(&files, strdup(request->file));
        else {
                if (request->program == CONF_PEER)
                        (void) snprintf(name, sizeof(name), "peer%s%s.ini", request->instance ? "@" : "",
                                        request->instance ? request->instance : "");
                r = find_main_file(request, name, report, &files);
                if (r == 0)
                        r = find_drop_ins(request, name, report, &files);
        }
        if (r < 0)
                return r;

        if (request->instance && !files && !report->failed)
                return conf_report(report, true, name, 0,
                                   "The instance has no configuration: there is no file of this name.");
        if (!files) {
                files = calloc(1, sizeof(*files));
                if (!files)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(files);
        return 0;
}

/* 0, BUF_FULL, negative errno. */
static int read_whole(const char *path, Buf *bytes) {
        /* Non-blocking, so that a FIFO can't hang the start. */
        _cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t n;
                int r;

                /* One byte of room at the least: who fills it all has a file that is too long. */
                r = buf_reserve(bytes, bytes->max - bytes->size >= 4096 ? 4096 : 1);
                if (r != 0)
                        return r;
                n = read(fd, bytes->data + bytes->size, bytes->allocated - bytes->size);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                if (n > 0)
                        buf_commit(bytes, (size_t) n);
        }
}

/* What can't be looked at is left to the reading, which says why. */
static bool is_special_file(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
                return false;
        return !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3);
}

int conf_read_file(const char *path, bool regular, ConfReport *report, Buf *bytes) {
        int r;

        if (regular && is_special_file(path))
                return conf_report(report, true, path, 0, "This is no regular file.");
        r = read_whole(path, bytes);
        if (r == 0)
                return 0;
        buf_clear(bytes);
        if (r == BUF_FULL)
                return conf_report(report, true, path, 0, "The file is larger than %zu bytes.", CONF_INI_FILE_MAX);
        if (host_failed(-r))
                return r;
        return conf_report(report, true, path, 0, "The file can't be read: %s.", strerror(-r));
}
