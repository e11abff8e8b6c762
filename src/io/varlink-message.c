/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/varlink-internal.h"

#include <errno.h>
#include <unistd.h>

#include "io/json-memory.h"

/* How a message is built, by what stands outside of its strings. */
typedef struct Shape {
        size_t depth;
        size_t n_values, n_members;             /* no less than it has; members are values, too */
} Shape;

/* Where the string ends that begins there. */
static size_t string_end(Slice s, size_t begin) {
        size_t i = begin + 1;

        while (i < s.size && s.data[i] != '"')
                i += s.data[i] == '\\' ? 2 : 1;
        return i;
}

static Shape shape_of(Slice s) {
        Shape shape = {};
        size_t depth = 0;

        for (size_t i = 0; i < s.size; i++) {
                char c = s.data[i];

                if (c == '"')
                        i = string_end(s, i);
                else if (c == '[' || c == '{') {
                        shape.n_values++;
                        depth++;
                        shape.depth = MAX_OF(shape.depth, depth);
                } else if (c == ']' || c == '}')
                        depth -= depth > 0;
                else if (c == ',')
                        shape.n_values++;
                else if (c == ':')
                        shape.n_members++;
        }
        return shape;
}

bool varlink_depth_is_bounded(Slice s) {
        /* jansson's own limit is 2048, compiled in, and its parser calls itself for each level. */
        return shape_of(s).depth <= VARLINK_DEPTH_MAX;
}

static bool is_bounded(Slice s) {
        const Shape shape = shape_of(s);

        return s.size > 0 && s.size <= VARLINK_MESSAGE_MAX && shape.depth <= VARLINK_DEPTH_MAX &&
               shape.n_values <= VARLINK_VALUES_MAX && shape.n_members <= VARLINK_MEMBERS_MAX;
}

/* Where the number ends that begins there; there itself: none does. */
static size_t number_end(Slice s, size_t begin) {
        size_t i = begin;

        while (i < s.size && s.data[i] != '\0' && strchr("+-.0123456789Ee", s.data[i]))
                i++;
        return i;
}

/* A whole number that json_int_t does not hold. */
static bool is_too_large(Slice number) {
        const char *largest = "9223372036854775807";
        const size_t n_digits = strlen(largest);

        if (number.size > 0 && number.data[0] == '-') {
                largest = "9223372036854775808";
                number.data++;
                number.size--;
        }
        for (size_t i = 0; i < number.size; i++)
                if (number.data[i] < '0' || number.data[i] > '9')
                        return false;
        return number.size > n_digits || (number.size == n_digits && memcmp(number.data, largest, n_digits) > 0);
}

/*
 * A whole number that is too large is JSON, and a parameter as wrong as any other that is no int; but jansson has an error
 * for the whole text then. With an exponent for its last two digits it is one that is not whole, and hardly another.
 * *ret: the text with these so written, owned by the caller; NULL: there are none. 0, -ENOMEM.
 */
static int rewrite_large_numbers(Slice s, char **ret) {
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0, end; i < s.size; i = end) {
                end = s.data[i] == '"' ? string_end(s, i) + 1 : MAX_OF(number_end(s, i), i + 1);
                if (s.data[i] == '"' || !is_too_large((Slice){ s.data + i, end - i }))
                        continue;
                if (!text) {
                        text = malloc(s.size);
                        if (!text)
                                return -ENOMEM;
                        memcpy(text, s.data, s.size);
                }
                text[end - 2] = 'e';
                text[end - 1] = '2';
        }
        *ret = TAKE_PTR(text);
        return 0;
}

static bool message_take_flag(const json_t *value, bool *flag) {
        if (!json_is_boolean(value))
                return false;
        *flag = json_is_true(value);
        return true;
}

/* method and parameters are borrowed from json. */
static bool message_read(json_t *json, const char **method, json_t **parameters, VarlinkMessage *m) {
        const char *key;
        json_t *value;

        json_object_foreach(json, key, value) {
                bool good;

                if (strcmp(key, "method") == 0)
                        good = (*method = json_string_value(value)) != NULL;
                else if (strcmp(key, "parameters") == 0) {
                        *parameters = json_is_null(value) ? NULL : value;
                        good = json_is_null(value) || json_is_object(value);
                } else if (strcmp(key, "oneway") == 0)
                        good = message_take_flag(value, &m->oneway);
                else if (strcmp(key, "more") == 0)
                        good = message_take_flag(value, &m->more);
                else if (strcmp(key, "upgrade") == 0)
                        good = message_take_flag(value, &m->upgrade);
                else
                        good = false;
                if (!good)
                        return false;
        }
        return *method && m->oneway + m->more + m->upgrade <= 1;
}

int varlink_message_parse(Slice s, VarlinkMessage *ret) {
        VarlinkMessage m = { .fd = -1 };
        _cleanup_free_ char *rewritten = NULL;
        const char *method = NULL;
        json_t *parameters = NULL;
        json_t *json;
        bool good;
        int r;

        if (!is_bounded(s))
                return VARLINK_MESSAGE_BAD;
        r = rewrite_large_numbers(s, &rewritten);
        if (r < 0)
                return r;
        if (rewritten)
                s.data = rewritten;
        r = json_memory_parse(s, &json);
        if (r != 0)
                return r < 0 ? r : VARLINK_MESSAGE_BAD;
        good = json_is_object(json) && message_read(json, &method, &parameters, &m);
        if (good) {
                m.method = strdup(method);
                m.parameters = parameters ? json_incref(parameters) : json_object();
        }
        json_decref(json);
        if (!good)
                return VARLINK_MESSAGE_BAD;
        if (!m.method || !m.parameters) {
                varlink_message_done(&m);
                return -ENOMEM;
        }
        *ret = m;
        return 0;
}

void varlink_message_done(VarlinkMessage *m) {
        free(m->method);
        json_decref(m->parameters);
        if (m->fd >= 0)
                close(m->fd);
        *m = (VarlinkMessage){ .fd = -1 };
}

static bool array_is_of(const json_t *array, json_type type) {
        if (!json_is_array(array))
                return false;
        for (size_t i = 0; i < json_array_size(array); i++)
                if (json_typeof(json_array_get(array, i)) != type)
                        return false;
        return true;
}

static bool value_is_of(const json_t *value, int type) {
        switch (type & ~VARLINK_OPTIONAL) {
        case VARLINK_BOOL:
                return json_is_boolean(value);
        case VARLINK_INT:
                return json_is_integer(value);
        case VARLINK_FLOAT:
                return json_is_number(value);
        case VARLINK_STRING:
                return json_is_string(value);
        case VARLINK_OBJECT:
                return json_is_object(value);
        case VARLINK_INT_ARRAY:
                return array_is_of(value, JSON_INTEGER);
        case VARLINK_STRING_ARRAY:
                return array_is_of(value, JSON_STRING);
        case VARLINK_OBJECT_ARRAY:
                return array_is_of(value, JSON_OBJECT);
        default:
                assert(false);
                return false;
        }
}

static const VarlinkParameter *parameter_find(const VarlinkParameter *table, const char *name) {
        for (const VarlinkParameter *p = table; p && p->name; p++)
                if (strcmp(p->name, name) == 0)
                        return p;
        return NULL;
}

const char *varlink_parameters_check(const VarlinkParameter *table, json_t *parameters) {
        const char *key;
        json_t *value;
        void *next;

        json_object_foreach(parameters, key, value) {
                const VarlinkParameter *p = parameter_find(table, key);

                if (!p || !(value_is_of(value, p->type) || (json_is_null(value) && p->type & VARLINK_OPTIONAL)))
                        return key;
        }
        for (const VarlinkParameter *p = table; p && p->name; p++)
                if (!(p->type & VARLINK_OPTIONAL) && !json_object_get(parameters, p->name))
                        return p->name;
        json_object_foreach_safe(parameters, next, key, value)
                if (json_is_null(value))
                        json_object_del(parameters, key);
        return NULL;
}
