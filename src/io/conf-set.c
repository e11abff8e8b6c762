/* SPDX-License-Identifier: BSD-2-Clause */
/* The half of conf-keys.h that moves values: what each kind of key does with its text. */
#include "io/conf-keys.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "core/text.h"
#include "io/conf-values.h"
#include "io/log.h"

/* The registration server's port where Registration.Server= names none. */
#define DEFAULT_RS_PORT 65423
/* Of a value from the file in a message. */
#define SHOWN_MAX ((size_t) 120)
#define RANGE_TEXT_SIZE 80

static bool kind_is_list(ConfKind kind) {
        return kind >= CONF_KIND_LISTEN;
}

static size_t kind_element_size(ConfKind kind) {
        switch (kind) {
        case CONF_KIND_LISTEN:
        case CONF_KIND_LISTEN_OR_AUTO:
                return sizeof(ConfListen);
        case CONF_KIND_PREFIXES:
                return sizeof(Prefix);
        case CONF_KIND_SERVERS:
                return sizeof(ConfServer);
        case CONF_KIND_ENDPOINTS:
                return sizeof(Endpoint);
        default:
                return sizeof(uint32_t);
        }
}

/* What a right value looks like, to end the sentence `"x" is …`. */
static const char *kind_expectation(ConfKind kind) {
        switch (kind) {
        case CONF_KIND_COUNT:
                return "not a whole number";
        case CONF_KIND_SIZE:
                return "not a size such as 4096, 64M or 1.5G";
        case CONF_KIND_SIZE_OR_INFINITY:
                return "neither infinity nor a size such as 4096, 64M or 1.5G";
        case CONF_KIND_TIME:
                return "not a time such as 5s, 1min 30s or 30d";
        case CONF_KIND_TIME_OR_INFINITY:
                return "neither a time such as 5s, 1min 30s or 30d nor infinity";
        case CONF_KIND_BOOL:
                return "neither yes nor no";
        case CONF_KIND_LOG_LEVEL:
                return "not a log level: emerg, alert, crit, err, warning, notice, info, debug";
        case CONF_KIND_GRADE:
                return "not a grade: single, agreed, verified";
        case CONF_KIND_PATH:
                return "not an absolute path";
        case CONF_KIND_DATABASE:
                return "not of the form sqlite:NAME, where NAME is a file name without /";
        case CONF_KIND_ADVERTISE:
                return "not an address that a peer can be reached at";
        case CONF_KIND_LISTEN:
                return "not of the form PORT, ADDRESS:PORT or [IPV6]:PORT with a port from 1 to 65535";
        case CONF_KIND_LISTEN_OR_AUTO:
                return "not of the form PORT, ADDRESS:PORT or [IPV6]:PORT with a port from 1 to 65535 or \"auto\"";
        case CONF_KIND_PREFIXES:
                return "not of the form ADDRESS, ADDRESS/BITS, localhost, link-local or any";
        case CONF_KIND_SERVERS:
                return "not of the form HOST or HOST:PORT with a port from 1 to 65535";
        case CONF_KIND_ENDPOINTS:
                return "not of the form ADDRESS:PORT or [IPV6]:PORT of a peer";
        case CONF_KIND_USERS:
                return "not a user of this system";
        case CONF_KIND_GROUPS:
                return "not a group of this system";
        }
        return "not valid";
}

/* reason becomes `"value" is …`, without quotes where that reads better: numbers that are out of range. */
static int explain(char reason[CONF_REASON_SIZE], const char *quote, Slice value, const char *what) {
        _cleanup_buf_ Buf shown = BUF_INIT(SHOWN_MAX);
        int r;

        r = text_escape(&shown, value, SHOWN_MAX);
        if (r < 0)
                return r;
        (void) snprintf(reason, CONF_REASON_SIZE, "%s%.*s%s is %s", quote, (int) shown.size,
                        shown.size > 0 ? shown.data : "", quote, what);
        return CONF_KEY_BAD;
}

static int explain_form(const ConfKey *key, Slice value, char reason[CONF_REASON_SIZE]) {
        return explain(reason, "\"", value, kind_expectation(key->kind));
}

static int explain_range(const ConfKey *key, Slice value, char reason[CONF_REASON_SIZE]) {
        char min[RANGE_TEXT_SIZE], max[RANGE_TEXT_SIZE], what[2 * RANGE_TEXT_SIZE + 32];
        const bool or_infinity = key->kind == CONF_KIND_TIME_OR_INFINITY;

        if (key->kind == CONF_KIND_TIME || or_infinity) {
                conf_format_time(key->min, min, sizeof(min));
                conf_format_time(key->max, max, sizeof(max));
        } else if (key->kind == CONF_KIND_SIZE || key->kind == CONF_KIND_SIZE_OR_INFINITY) {
                conf_format_size(key->min, min, sizeof(min));
                conf_format_size(key->max, max, sizeof(max));
        } else {
                (void) snprintf(min, sizeof(min), "%llu", (unsigned long long) key->min);
                (void) snprintf(max, sizeof(max), "%llu", (unsigned long long) key->max);
        }
        (void) snprintf(what, sizeof(what), "not in %s..%s%s", min, max, or_infinity ? " or infinity" : "");
        return explain(reason, "", value, what);
}

/* Counts, sizes and times. */
static int set_number(const ConfKey *key, void *member, Slice value, char reason[CONF_REASON_SIZE]) {
        uint64_t number;
        int r;

        if (key->kind == CONF_KIND_SIZE_OR_INFINITY && slice_equal(value, SLICE_LITERAL("infinity"))) {
                *(uint64_t *) member = UINT64_MAX;
                return 0;
        }
        if (key->kind == CONF_KIND_TIME_OR_INFINITY && slice_equal(value, SLICE_LITERAL("infinity"))) {
                *(usec_t *) member = USEC_INFINITY;
                return 0;
        }
        if (key->kind == CONF_KIND_TIME || key->kind == CONF_KIND_TIME_OR_INFINITY)
                r = conf_parse_time(value, &number);
        else if (key->kind == CONF_KIND_SIZE || key->kind == CONF_KIND_SIZE_OR_INFINITY)
                r = conf_parse_size(value, &number);
        else
                r = text_to_uint64(value, UINT64_MAX, &number);
        if (r != 0)
                return explain_form(key, value, reason);
        if (number < key->min || number > key->max)
                return explain_range(key, value, reason);

        if (key->kind == CONF_KIND_COUNT)
                *(uint32_t *) member = (uint32_t) number;
        else
                *(uint64_t *) member = number;
        return 0;
}

static int set_string(char **member, Slice value) {
        char *copy;

        copy = strndup(value.data, value.size);
        if (!copy)
                return -ENOMEM;
        free(*member);
        *member = copy;
        return 0;
}

static bool database_name_is_valid(Slice name) {
        return name.size > 0 && name.size <= NAME_MAX && name.data[0] != '.' && !memchr(name.data, '/', name.size);
}

static int set_advertise(const ConfKey *key, void *conf, Slice value, char reason[CONF_REASON_SIZE]) {
        Address address;

        if (address_from_text(value, &address) != 0 || !address_is_usable(&address))
                return explain_form(key, value, reason);
        *(Address *) ((char *) conf + key->offset) = address;
        *(bool *) ((char *) conf + key->offset_n) = true;
        return 0;
}

static int set_scalar(const ConfKey *key, void *conf, Slice value, char reason[CONF_REASON_SIZE]) {
        const Slice sqlite = SLICE_LITERAL("sqlite:");
        void *member = (char *) conf + key->offset;
        int r = CONF_VALUE_BAD;

        switch (key->kind) {
        case CONF_KIND_COUNT:
        case CONF_KIND_SIZE:
        case CONF_KIND_TIME:
        case CONF_KIND_TIME_OR_INFINITY:
        case CONF_KIND_SIZE_OR_INFINITY:
                return set_number(key, member, value, reason);
        case CONF_KIND_ADVERTISE:
                return set_advertise(key, conf, value, reason);
        case CONF_KIND_BOOL:
                r = conf_parse_bool(value, member);
                break;
        case CONF_KIND_LOG_LEVEL: {
                char text[16];

                if (value.size >= sizeof(text))
                        break;
                memcpy(text, value.data, value.size);
                text[value.size] = '\0';
                r = log_level_from_text(text, member);
                break;
        }
        case CONF_KIND_GRADE: {
                Grade grade;

                /* What is disputed is never taken. */
                if (grade_from_name(value, &grade) == 0 && grade != GRADE_DISPUTED) {
                        *(Grade *) member = grade;
                        r = 0;
                }
                break;
        }
        case CONF_KIND_PATH:
                if (value.data[0] == '/' && value.size < PATH_MAX)
                        r = set_string(member, value);
                break;
        case CONF_KIND_DATABASE:
                if (slice_starts_with(value, sqlite.data)) {
                        Slice name = { value.data + sqlite.size, value.size - sqlite.size };

                        if (database_name_is_valid(name))
                                r = set_string(member, name);
                }
                break;
        default:
                assert(!"not a scalar");
        }
        return r > 0 ? explain_form(key, value, reason) : r;
}

/* One of the parsers below made a thing of element_size in item; a ConfServer's strings belong to the list then. */
typedef union ConfItem {
        ConfListen listen;
        Prefix prefixes[2];
        ConfServer server;
        Endpoint endpoint;
        uint32_t id;
} ConfItem;

static int parse_item(const ConfKey *key, Slice text, ConfItem *ret, size_t *ret_n) {
        *ret_n = 1;
        switch (key->kind) {
        case CONF_KIND_LISTEN:
        case CONF_KIND_LISTEN_OR_AUTO:
                return conf_parse_listen(text, key->kind == CONF_KIND_LISTEN_OR_AUTO, &ret->listen);
        case CONF_KIND_PREFIXES:
                return conf_parse_prefix(text, ret->prefixes, ret_n);
        case CONF_KIND_SERVERS:
                return conf_parse_server(text, DEFAULT_RS_PORT, &ret->server);
        case CONF_KIND_ENDPOINTS:
                if (endpoint_from_text(text, &ret->endpoint) != 0 || !address_is_usable(&ret->endpoint.address))
                        return CONF_VALUE_BAD;
                return 0;
        case CONF_KIND_USERS:
                return conf_parse_user(text, &ret->id);
        case CONF_KIND_GROUPS:
                return conf_parse_group(text, &ret->id);
        default:
                assert(!"not a list");
                return -EINVAL;
        }
}

/* Two of these would be one thing done twice: a port bound again, a peer registered again. */
static bool item_equal(ConfKind kind, const void *a, const void *b) {
        const ConfListen *l = a, *m = b;
        const ConfServer *s = a, *t = b;

        switch (kind) {
        case CONF_KIND_LISTEN:
        case CONF_KIND_LISTEN_OR_AUTO:
                return l->any_address == m->any_address && l->is_auto == m->is_auto &&
                        endpoint_equal(&l->endpoint, &m->endpoint);
        case CONF_KIND_SERVERS:
                return s->port == t->port && slice_equal_nocase(slice_of(s->host), slice_of(t->host));
        case CONF_KIND_ENDPOINTS:
                return endpoint_equal(a, b);
        default:
                return false;
        }
}

static bool list_contains(const ConfKey *key, const void *list, size_t n, const void *item) {
        size_t size = kind_element_size(key->kind);

        for (size_t i = 0; i < n; i++)
                if (item_equal(key->kind, (const char *) list + i * size, item))
                        return true;
        return false;
}

/* The list's pointer has a type of its own in each member: bytes are copied, so that no alias rule is broken. */
static void *list_get(const ConfKey *key, const void *conf, size_t *ret_n) {
        void *list;

        memcpy(&list, (const char *) conf + key->offset, sizeof(list));
        memcpy(ret_n, (const char *) conf + key->offset_n, sizeof(*ret_n));
        return list;
}

static void list_put(const ConfKey *key, void *conf, void *list, size_t n) {
        memcpy((char *) conf + key->offset, &list, sizeof(list));
        memcpy((char *) conf + key->offset_n, &n, sizeof(n));
}

/* 0: the list owns the items now. */
static int list_append(const ConfKey *key, void *conf, const ConfItem *items, size_t n_items) {
        size_t size = kind_element_size(key->kind), n;
        void *old = list_get(key, conf, &n);
        char *list = reallocarray(old, n + n_items, size);

        if (!list)
                return -ENOMEM;
        memcpy(list + n * size, items, n_items * size);
        list_put(key, conf, list, n + n_items);
        return 0;
}

static void list_reset(const ConfKey *key, void *conf) {
        size_t n;
        void *list = list_get(key, conf, &n);

        if (key->kind == CONF_KIND_SERVERS)
                for (size_t i = 0; i < n; i++)
                        conf_server_done((ConfServer *) list + i);
        free(list);
        list_put(key, conf, NULL, 0);
}

static int list_add_text(const ConfKey *key, void *conf, Slice text, char reason[CONF_REASON_SIZE]) {
        ConfItem item;
        const void *list;
        size_t n_items, n;
        int r;

        r = parse_item(key, text, &item, &n_items);
        if (r != 0)
                return r > 0 ? explain_form(key, text, reason) : r;

        list = list_get(key, conf, &n);
        if (list_contains(key, list, n, &item))
                r = 0;
        else if (n + n_items > key->max) {
                (void) snprintf(reason, CONF_REASON_SIZE, "more than %llu entries", (unsigned long long) key->max);
                r = CONF_KEY_BAD;
        } else {
                r = list_append(key, conf, &item, n_items);
                if (r == 0)
                        return 0;
        }
        if (key->kind == CONF_KIND_SERVERS)
                conf_server_done(&item.server);
        return r;
}

static int list_add(const ConfKey *key, void *conf, Slice value, char reason[CONF_REASON_SIZE]) {
        while (value.size > 0) {
                size_t n = 0;
                int r;

                while (n < value.size && value.data[n] != ' ' && value.data[n] != '\t')
                        n++;
                r = list_add_text(key, conf, (Slice){ value.data, n }, reason);
                if (r != 0)
                        return r;
                value = slice_trim((Slice){ value.data + n, value.size - n });
        }
        return 0;
}

/* To the default, which a list gets only in the end: see conf_keys_complete(). */
static int reset(const ConfKey *key, void *conf, char reason[CONF_REASON_SIZE]) {
        if (kind_is_list(key->kind)) {
                list_reset(key, conf);
                return 0;
        }
        if (key->preset)
                return set_scalar(key, conf, slice_of(key->preset), reason);

        if (key->kind == CONF_KIND_ADVERTISE)
                *(bool *) ((char *) conf + key->offset_n) = false;
        else {
                char **member = (char **) ((char *) conf + key->offset);

                assert(key->kind == CONF_KIND_PATH);
                free(*member);
                *member = NULL;
        }
        return 0;
}

int conf_key_set(const ConfKey *key, void *conf, Slice value, char reason[CONF_REASON_SIZE]) {
        if (value.size == 0)
                return reset(key, conf, reason);
        return kind_is_list(key->kind) ? list_add(key, conf, value, reason) : set_scalar(key, conf, value, reason);
}

int conf_keys_preset(ConfProgram program, void *conf) {
        char reason[CONF_REASON_SIZE];
        size_t n;
        const ConfKey *keys = conf_keys(program, &n);
        int r;

        for (size_t i = 0; i < n; i++) {
                if (kind_is_list(keys[i].kind))
                        continue;
                r = reset(&keys[i], conf, reason);
                assert(r <= 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

int conf_keys_complete(ConfProgram program, void *conf) {
        char reason[CONF_REASON_SIZE];
        size_t n_keys, n;
        const ConfKey *keys = conf_keys(program, &n_keys);
        int r;

        for (size_t i = 0; i < n_keys; i++) {
                if (!kind_is_list(keys[i].kind) || !keys[i].preset)
                        continue;
                (void) list_get(&keys[i], conf, &n);
                if (n > 0)
                        continue;
                r = list_add(&keys[i], conf, slice_of(keys[i].preset), reason);
                assert(r <= 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

void conf_keys_done(ConfProgram program, void *conf) {
        size_t n;
        const ConfKey *keys = conf_keys(program, &n);

        for (size_t i = 0; i < n; i++) {
                char **member = (char **) ((char *) conf + keys[i].offset);

                if (kind_is_list(keys[i].kind))
                        list_reset(&keys[i], conf);
                else if (keys[i].kind == CONF_KIND_PATH || keys[i].kind == CONF_KIND_DATABASE) {
                        free(*member);
                        *member = NULL;
                }
        }
}
