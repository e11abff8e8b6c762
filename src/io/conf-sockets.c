/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf-sockets.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "core/buf.h"
#include "core/text.h"
#include "io/close.h"
#include "io/conf-files.h"
#include "io/conf-internal.h"
#include "io/conf-values.h"

#define SHOWN_SIZE 128

/* ---- reading ---- */

/* The three trees below root; owned. */
typedef struct Trees {
        char *dirs[3];
} Trees;

static void trees_done(Trees *t) {
        for (size_t i = 0; i < ELEMENTSOF(t->dirs); i++)
                free(t->dirs[i]);
}

static int trees_init(Trees *t, const char *root) {
        for (size_t i = 0; i < ELEMENTSOF(t->dirs); i++)
                if (asprintf(&t->dirs[i], "%s%s", root ? root : "", conf_shipped_roots.dirs[i]) < 0) {
                        t->dirs[i] = NULL;
                        return -ENOMEM;
                }
        return 0;
}

void conf_sockets_done(ConfSockets *s) {
        if (s->program == CONF_RS)
                (void) rs_conf_free(s->conf);
        else
                (void) peer_conf_free(s->conf);
        free(s->file);
        free(s->listen_file);
        *s = (ConfSockets){ 0 };
}

int conf_load_sockets(const char *root, ConfProgram program, const char *instance, ConfSockets *ret,
                      ConfIssues *issues) {
        _cleanup_(conf_origin_done) ConfOrigin origin = { 0 };
        _cleanup_(trees_done) Trees trees = { 0 };
        void *conf = NULL;
        int r;

        r = trees_init(&trees, root);
        if (r < 0)
                return r;
        const ConfRequest request = {
                .program = program,
                .roots = { { trees.dirs[0], trees.dirs[1], trees.dirs[2] } },
                .instance = instance,
                .sockets_only = true,
                .origin = &origin,
        };
        r = conf_load_from(&request, &conf, issues);
        if (r < 0)
                return r;
        *ret = (ConfSockets){
                .program = program,
                .conf = conf,
                .common = conf,         /* the first member of both */
                .store_path = conf && program == CONF_PEER ? ((PeerConf *) conf)->store_path : NULL,
                .file = TAKE_PTR(origin.first),
                .listen_file = TAKE_PTR(origin.listen),
        };
        return r;
}

/* ---- instances ---- */

static int report_name(const char *dir, const char *name, ConfReport *report) {
        _cleanup_buf_ Buf shown = BUF_INIT(SHOWN_SIZE);
        int r;

        r = text_escape(&shown, slice_of(name), SHOWN_SIZE);
        if (r < 0)
                return r;
        return conf_report(report, false, dir, 0,
                           "\"%.*s\" is passed over: an instance's name is of letters, digits and :_.- only.",
                           (int) shown.size, shown.size > 0 ? shown.data : "");
}

/* NAME of peer@NAME.ini, owned by the caller; NULL with *ret_is_one: no memory. */
static char *instance_of(const char *file, bool *ret_is_one) {
        static const Slice before = SLICE_LITERAL("peer@"), behind = SLICE_LITERAL(".ini");
        size_t n = strlen(file);

        *ret_is_one = n >= before.size + behind.size && strncmp(file, before.data, before.size) == 0 &&
                      strcmp(file + n - behind.size, behind.data) == 0;
        return *ret_is_one ? strndup(file + before.size, n - before.size - behind.size) : NULL;
}

static bool list_contains(StringList l, const char *s) {
        for (; l && *l; l++)
                if (strcmp(*l, s) == 0)
                        return true;
        return false;
}

enum {
        INSTANCES_FULL = 1,
};

/* A file of the directory: nothing to do, or one name more. 0, INSTANCES_FULL, -errno. */
static int find_instance(const char *dir, const char *file, ConfReport *report, StringList *ret) {
        bool is_one;
        _cleanup_free_ char *name = instance_of(file, &is_one);

        if (!is_one)
                return 0;
        if (!name)
                return -ENOMEM;
        if (!conf_is_instance(name))
                return report_name(dir, file, report);
        if (list_contains(*ret, name))
                return 0;
        if (string_list_size(*ret) == CONF_INSTANCES_MAX)
                return INSTANCES_FULL;
        return string_list_append(ret, TAKE_PTR(name));
}

static int find_instances_in(const char *dir, ConfReport *report, StringList *ret) {
        _cleanup_(close_dir) DIR *d = opendir(dir);
        const struct dirent *entry;
        int r = 0;

        if (!d)
                return errno == ENOENT || errno == ENOTDIR ? 0 :
                       conf_report(report, true, dir, 0, "The directory can't be read: %s.", strerror(errno));
        while (r == 0 && (entry = readdir(d)))
                r = find_instance(dir, entry->d_name, report, ret);
        if (r == INSTANCES_FULL)
                return conf_report(report, true, dir, 0, "There are more than %zu instances of the peer.",
                                   CONF_INSTANCES_MAX);
        return r;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

int conf_find_instances(const char *root, StringList *ret, ConfIssues *issues) {
        _cleanup_(string_list_free_p) StringList names = NULL;
        _cleanup_(trees_done) Trees trees = { 0 };
        ConfReport report = { .issues = issues };
        int r;

        r = trees_init(&trees, root);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(trees.dirs); i++)
                r = find_instances_in(trees.dirs[i], &report, &names);
        if (r < 0)
                return r;
        if (names)
                qsort(names, string_list_size(names), sizeof(*names), compare_strings);
        *ret = TAKE_PTR(names);
        return report.failed ? CONF_INVALID : 0;
}

/* ---- addresses ---- */

static const Address any_ipv6 = { { 0 } }, any_ipv4 = { { [10] = 0xff, [11] = 0xff } };

static bool is_any_address(const Address *a) {
        return address_equal(a, &any_ipv6) || address_equal(a, &any_ipv4);
}

void conf_listen_to_text(const ConfListen *l, char ret[CONF_LISTEN_TEXT_SIZE]) {
        char text[ENDPOINT_TEXT_SIZE];

        if (l->any_address && l->is_auto)
                strcpy(ret, "auto");
        else if (l->any_address)
                (void) snprintf(ret, CONF_LISTEN_TEXT_SIZE, "%u", l->endpoint.port);
        else {
                endpoint_to_text(&l->endpoint, text);
                if (l->is_auto)         /* in place of the port, which is 0 */
                        strrchr(text, ':')[1] = '\0';
                (void) snprintf(ret, CONF_LISTEN_TEXT_SIZE, "%s%s", text, l->is_auto ? "auto" : "");
        }
}

/*
 * Does bind() of `part` fail once `whole` is bound, whatever the unit says? A plain port and [::]:PORT are all addresses
 * of both families, or of IPv6 alone where an IPv4 address is wanted as well, so they never hold 0.0.0.0.
 */
static bool listen_holds(const ConfListen *whole, const ConfListen *part) {
        const Address *w = &whole->endpoint.address, *p = &part->endpoint.address;

        if (whole->endpoint.port != part->endpoint.port)
                return false;
        if (address_equal(w, &any_ipv4))
                return !part->any_address && address_is_ipv4(p) && !address_equal(p, &any_ipv4);
        if (whole->any_address)
                return !part->any_address && !address_equal(p, &any_ipv4);
        return address_equal(w, &any_ipv6) && !part->any_address && !address_is_ipv4(p) && !address_equal(p, &any_ipv6);
}

int conf_listen_check(const ConfListen *listen, size_t n, char reason[CONF_FAULT_SIZE]) {
        char a[CONF_LISTEN_TEXT_SIZE], b[CONF_LISTEN_TEXT_SIZE];

        for (size_t i = 0; i < n; i++) {
                if (listen[i].is_auto && n > 1) {
                        (void) snprintf(reason, CONF_FAULT_SIZE,
                                        "a socket unit can't have \"auto\" beside other addresses");
                        return CONF_LISTEN_FAULT;
                }
                for (size_t k = 0; k < n; k++)
                        if (k != i && listen_holds(&listen[i], &listen[k])) {
                                conf_listen_to_text(&listen[i], a);
                                conf_listen_to_text(&listen[k], b);
                                (void) snprintf(reason, CONF_FAULT_SIZE, "%s is a part of %s already", b, a);
                                return CONF_LISTEN_FAULT;
                        }
        }
        return 0;
}

bool conf_listen_splits(const ConfListen *listen, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < n; k++)
                        if (listen[i].endpoint.port == listen[k].endpoint.port && !listen[i].is_auto &&
                            address_equal(&listen[i].endpoint.address, &any_ipv6) &&
                            address_is_ipv4(&listen[k].endpoint.address))
                                return true;
        return false;
}

/* ---- drift ---- */

/* A socket unit never has a free port: then the daemon has not taken over yet. */
bool conf_listen_matches(const ConfListen *listen, const Endpoint *at, bool inherited) {
        if (listen->is_auto && inherited)
                return false;
        if (!listen->is_auto && listen->endpoint.port != at->port)
                return false;
        return listen->any_address ? is_any_address(&at->address) :
                                     address_equal(&listen->endpoint.address, &at->address);
}

/* The same, and what is bound beside [::] where IPv4 has a socket of its own. */
static bool listen_explains(const ConfListen *listen, const Endpoint *at, bool inherited) {
        Endpoint ipv6 = { any_ipv6, at->port };

        return conf_listen_matches(listen, at, inherited) ||
               (address_equal(&at->address, &any_ipv4) && conf_listen_matches(listen, &ipv6, inherited));
}

void conf_listener_command(const ConfListener *who, char ret[CONF_COMMAND_SIZE]) {
        (void) snprintf(ret, CONF_COMMAND_SIZE, "systemctl daemon-reload && systemctl restart %s%s%s.socket",
                        who->daemon, who->instance ? "@" : "", who->instance ? who->instance : "");
}

static _printf_(2, 3) int append_sentence(StringList *ret, const char *format, ...) {
        va_list ap;
        char *text;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        return string_list_append(ret, n < 0 ? NULL : text);
}

int conf_listen_compare(const ConfCommon *c, const Endpoint *at, size_t n_at, const ConfListener *who,
                        StringList *ret) {
        char command[CONF_COMMAND_SIZE], text[CONF_LISTEN_TEXT_SIZE];
        bool found;
        int r = 0;

        if (c->listen_is_preset && who->inherited)
                return 0;
        conf_listener_command(who, command);
        for (size_t i = 0; r == 0 && i < c->n_listen; i++) {
                found = false;
                for (size_t k = 0; k < n_at && !found; k++)
                        found = conf_listen_matches(&c->listen[i], &at[k], who->inherited);
                if (found)
                        continue;
                conf_listen_to_text(&c->listen[i], text);
                r = append_sentence(ret,
                                    "Server.ListenStream= says %s, but %s does not listen there: it will with \"%s\".",
                                    text, who->daemon, command);
        }
        for (size_t k = 0; r == 0 && k < n_at; k++) {
                found = false;
                for (size_t i = 0; i < c->n_listen && !found; i++)
                        found = listen_explains(&c->listen[i], &at[k], who->inherited);
                if (found)
                        continue;
                endpoint_to_text(&at[k], text);
                r = append_sentence(ret,
                                    "%s listens on %s, which Server.ListenStream= does not say: it stops with \"%s\".",
                                    who->daemon, text, command);
        }
        return r;
}
