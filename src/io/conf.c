/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf.h"

#include <errno.h>

#include "core/buf.h"
#include "core/text.h"
#include "io/conf-files.h"
#include "io/conf-ini.h"
#include "io/conf-internal.h"
#include "io/conf-keys.h"
#include "io/conf-values.h"

#ifndef PKGSYSCONFDIR
#  define PKGSYSCONFDIR "/etc/p2pdi"
#endif

/* Of a name from the file in a message. */
#define SHOWN_SIZE 128

const ConfRoots conf_shipped_roots = { { "/usr/lib/p2pdi", "/run/p2pdi", PKGSYSCONFDIR } };

/* A load under way. */
typedef struct Load {
        ConfProgram program;
        void *conf;                     /* RsConf or PeerConf */
        bool sockets_only;
        ConfReport report;
        const char *listen_file;        /* where Server.ListenStream= was last added to; borrowed */
        const char *file;               /* the one being read; borrowed */
        const char *keep_alive_file;    /* where Registration.KeepAliveSec= was last set; borrowed */
        unsigned keep_alive_line;
} Load;

RsConf *rs_conf_free(RsConf *c) {
        if (c) {
                conf_keys_done(CONF_RS, c);
                free(c);
        }
        return NULL;
}

PeerConf *peer_conf_free(PeerConf *c) {
        if (c) {
                conf_keys_done(CONF_PEER, c);
                free(c);
        }
        return NULL;
}

static void load_done(Load *l) {
        if (l->program == CONF_RS)
                (void) rs_conf_free(l->conf);
        else
                (void) peer_conf_free(l->conf);
        l->conf = NULL;
}

static int load_start(Load *l) {
        l->conf = calloc(1, l->program == CONF_RS ? sizeof(RsConf) : sizeof(PeerConf));
        if (!l->conf)
                return -ENOMEM;
        return conf_keys_preset(l->program, l->conf);
}

/* Names of sections and keys in messages. */
static int show(Slice name, char ret[SHOWN_SIZE]) {
        _cleanup_buf_ Buf b = BUF_INIT(SHOWN_SIZE - 1);
        int r;

        r = text_escape(&b, name, SHOWN_SIZE - 1);
        if (r < 0)
                return r;
        if (b.size > 0)
                memcpy(ret, b.data, b.size);
        ret[b.size] = '\0';
        return 0;
}

static int on_section(unsigned line, Slice section, void *userdata) {
        Load *l = userdata;
        char shown[SHOWN_SIZE];
        int r;

        if (slice_starts_with(section, "X-") || conf_section_is_known(l->program, section))
                return 0;
        r = show(section, shown);
        if (r < 0)
                return r;
        return conf_report(&l->report, false, l->file, line, "Unknown section [%s], ignored.", shown);
}

static bool is_listen(const ConfKey *key) {
        return key->kind == CONF_KIND_LISTEN || key->kind == CONF_KIND_LISTEN_OR_AUTO;
}

/* Addresses, who may come, and where the sandbox must let the daemon write: all that units are made of. */
static bool concerns_sockets(const ConfKey *key) {
        return is_listen(key) || strcmp(key->section, "Access") == 0 ||
               (strcmp(key->section, "Store") == 0 && strcmp(key->name, "Path") == 0);
}

static int on_assignment(unsigned line, const char *section, const char *name, const char *value, void *userdata) {
        Load *l = userdata;
        char reason[CONF_REASON_SIZE], shown[SHOWN_SIZE];
        const ConfKey *key;
        int r;

        if (section[0] == '\0')
                return conf_report(&l->report, false, l->file, line,
                                   "The assignment stands before any [Section], ignored.");
        if (!conf_section_is_known(l->program, slice_of(section)))
                return 0;               /* told at its header, or [X-…] */

        key = conf_key_find(l->program, section, name);
        if (!key) {
                r = show(slice_of(name), shown);
                if (r < 0)
                        return r;
                return conf_report(&l->report, false, l->file, line, "Unknown key %s= in section [%s], ignored.", shown,
                                   section);
        }

        if (l->sockets_only && !concerns_sockets(key))
                return 0;
        r = conf_key_set(key, l->conf, slice_of(value), reason);
        if (r < 0)
                return r;
        if (r == CONF_KEY_BAD)
                return conf_report(&l->report, true, l->file, line, "%s.%s=: %s.", key->section, key->name, reason);
        if (is_listen(key))
                l->listen_file = value[0] ? l->file : NULL;
        if (l->program == CONF_RS && key->offset == offsetof(RsConf, keep_alive)) {
                l->keep_alive_file = l->file;
                l->keep_alive_line = line;
        }
        return 0;
}

static int on_bad_line(unsigned line, const char *why, void *userdata) {
        Load *l = userdata;

        return conf_report(&l->report, true, l->file, line, "%s", why);
}

static int load_bytes(Load *l, const char *file, Slice bytes) {
        static const ConfIniHandler handler = {
                .on_section = on_section,
                .on_assignment = on_assignment,
                .on_bad_line = on_bad_line,
        };

        l->file = file;
        return conf_ini_parse(bytes, &handler, l);
}

/* Peers that renew too late would lose their lease again and again; on the wire both are whole seconds. */
static int check_keep_alive(Load *l, RsConf *c) {
        char text[64], ttl[64];

        if (c->keep_alive == 0) {
                c->keep_alive = MAX_OF(c->ttl / 3, USEC_PER_SEC);
                return 0;
        }
        if (c->keep_alive >= USEC_PER_SEC && c->keep_alive <= c->ttl)
                return 0;
        conf_format_time(c->keep_alive, text, sizeof(text));
        conf_format_time(c->ttl, ttl, sizeof(ttl));
        return conf_report(&l->report, true, l->keep_alive_file, l->keep_alive_line,
                           "Registration.KeepAliveSec=: %s is neither 0 nor in 1s..%s, which is TTLSec=.", text, ttl);
}

static int load_finish(Load *l, void **ret) {
        ConfCommon *common = l->conf;   /* the first member of both */
        int r;

        common->listen_is_preset = common->n_listen == 0;
        r = conf_keys_complete(l->program, l->conf);
        if (r == 0 && l->program == CONF_RS)
                r = check_keep_alive(l, l->conf);
        if (r < 0)
                return r;
        if (l->report.failed)
                return CONF_INVALID;
        *ret = TAKE_PTR(l->conf);
        return 0;
}

int conf_load_bytes(ConfProgram program, const char *name, Slice bytes, void **ret, ConfIssues *issues) {
        _cleanup_(load_done) Load l = { .program = program, .report = { .issues = issues } };
        int r;

        r = load_start(&l);
        if (r == 0)
                r = load_bytes(&l, name, bytes);
        return r < 0 ? r : load_finish(&l, ret);
}

void conf_origin_done(ConfOrigin *o) {
        free(o->first);
        free(o->listen);
        *o = (ConfOrigin){ 0 };
}

static int tell_origin(const Load *l, StringList files, ConfOrigin *origin) {
        ConfOrigin o = {
                .first = files && files[0] ? strdup(files[0]) : NULL,
                .listen = l->listen_file ? strdup(l->listen_file) : NULL,
        };

        if ((files && files[0] && !o.first) || (l->listen_file && !o.listen)) {
                conf_origin_done(&o);
                return -ENOMEM;
        }
        *origin = o;
        return 0;
}

int conf_load_from(const ConfRequest *request, void **ret, ConfIssues *issues) {
        _cleanup_(string_list_free_p) StringList files = NULL;
        _cleanup_(load_done) Load l = {
                .program = request->program, .sockets_only = request->sockets_only, .report = { .issues = issues },
        };
        int r;

        r = load_start(&l);
        if (r == 0)
                r = conf_find_files(request, &l.report, &files);
        for (StringList f = files; r == 0 && f && *f; f++) {
                /* One byte more, to see that it is too much. */
                _cleanup_buf_ Buf bytes = BUF_INIT(CONF_INI_FILE_MAX + 1);

                r = conf_read_file(*f, !request->file, &l.report, &bytes);
                if (r == 0)
                        r = load_bytes(&l, *f, buf_slice(&bytes));
        }
        if (r == 0 && request->origin)
                r = tell_origin(&l, files, request->origin);
        return r < 0 ? r : load_finish(&l, ret);
}

int conf_load_rs(const char *file, RsConf **ret, ConfIssues *issues) {
        ConfRequest request = { .program = CONF_RS, .roots = conf_shipped_roots, .file = file };
        void *conf;
        int r;

        r = conf_load_from(&request, &conf, issues);
        if (r == 0)
                *ret = conf;
        return r;
}

int conf_load_peer(const char *file, const char *instance, PeerConf **ret, ConfIssues *issues) {
        ConfRequest request = { .program = CONF_PEER, .roots = conf_shipped_roots, .file = file, .instance = instance };
        void *conf;
        int r;

        r = conf_load_from(&request, &conf, issues);
        if (r == 0)
                *ret = conf;
        return r;
}

int conf_files_from(const ConfRequest *request, StringList *ret) {
        ConfIssues issues = { 0 };
        ConfReport report = { .issues = &issues };
        StringList files = NULL;
        int r;

        r = conf_find_files(request, &report, &files);
        /* What can't be found out is told where the configuration is loaded. */
        conf_issues_done(&issues);
        if (r == 0 && !files) {
                files = calloc(1, sizeof(*files));
                r = files ? 0 : -ENOMEM;
        }
        if (r == 0)
                *ret = files;
        return r;
}

int conf_files(ConfProgram program, const char *instance, StringList *ret) {
        ConfRequest request = { .program = program, .roots = conf_shipped_roots, .instance = instance };

        return conf_files_from(&request, ret);
}
