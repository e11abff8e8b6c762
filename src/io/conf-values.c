/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf-values.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "core/proto.h"
#include "core/text.h"

/* What getpwnam_r() may need: a group of some thousand members is 100 KiB or so. */
#define NAME_BUFFER_MAX ((size_t) 1 << 20)

int conf_parse_bool(Slice s, bool *ret) {
        static const char *const yes[] = { "yes", "true", "on", "1", "y", "t" };
        static const char *const no[] = { "no", "false", "off", "0", "n", "f" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (slice_equal_nocase(s, slice_of(yes[i]))) {
                        *ret = true;
                        return 0;
                }
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (slice_equal_nocase(s, slice_of(no[i]))) {
                        *ret = false;
                        return 0;
                }
        return CONF_VALUE_BAD;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static Slice skip(Slice s, size_t n) {
        return (Slice){ s.data + n, s.size - n };
}

/* Takes a decimal number with an optional fraction off *s; the fraction as its digits. */
static int take_decimal(Slice *s, uint64_t *ret_whole, Slice *ret_fraction) {
        uint64_t whole = 0;
        Slice rest = *s, fraction = { NULL, 0 };
        size_t n = 0;

        for (; n < rest.size && is_digit(rest.data[n]); n++) {
                uint64_t digit = (uint64_t) (rest.data[n] - '0');

                if (whole > (UINT64_MAX - digit) / 10)
                        return CONF_VALUE_BAD;
                whole = whole * 10 + digit;
        }
        if (n == 0)
                return CONF_VALUE_BAD;
        rest = skip(rest, n);

        if (rest.size > 0 && rest.data[0] == '.') {
                for (n = 1; n < rest.size && is_digit(rest.data[n]); n++)
                        ;
                if (n == 1)
                        return CONF_VALUE_BAD;
                fraction = (Slice){ rest.data + 1, n - 1 };
                rest = skip(rest, n);
        }

        *s = rest;
        *ret_whole = whole;
        *ret_fraction = fraction;
        return 0;
}

/* (whole + 0.fraction) * unit, rounded down. */
static int scale_decimal(uint64_t whole, Slice fraction, uint64_t unit, uint64_t *ret) {
        uint64_t value, numerator = 0, denominator = 1;

        if (__builtin_mul_overflow(whole, unit, &value))
                return CONF_VALUE_BAD;
        /* Nine digits tell more than a microsecond of any sensible value; with them nothing below overflows. */
        for (size_t i = 0; i < MIN_OF(fraction.size, (size_t) 9); i++) {
                numerator = numerator * 10 + (uint64_t) (fraction.data[i] - '0');
                denominator *= 10;
        }
        if (__builtin_add_overflow(value, unit / denominator * numerator, &value) ||
            __builtin_add_overflow(value, unit % denominator * numerator / denominator, &value))
                return CONF_VALUE_BAD;
        *ret = value;
        return 0;
}

/* Takes the unit off *s; without one it is seconds. */
static int take_time_unit(Slice *s, usec_t *ret) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "seconds", USEC_PER_SEC },    { "second", USEC_PER_SEC },     { "sec", USEC_PER_SEC },
                { "s", USEC_PER_SEC },          { "minutes", USEC_PER_MINUTE }, { "minute", USEC_PER_MINUTE },
                { "min", USEC_PER_MINUTE },     { "m", USEC_PER_MINUTE },       { "hours", USEC_PER_HOUR },
                { "hour", USEC_PER_HOUR },      { "hr", USEC_PER_HOUR },        { "h", USEC_PER_HOUR },
                { "days", USEC_PER_DAY },       { "day", USEC_PER_DAY },        { "d", USEC_PER_DAY },
                { "weeks", 7 * USEC_PER_DAY },  { "week", 7 * USEC_PER_DAY },   { "w", 7 * USEC_PER_DAY },
                { "msec", USEC_PER_MSEC },      { "ms", USEC_PER_MSEC },
                { "usec", 1 },                  { "us", 1 },                    { "\xc2\xb5s", 1 }, { "\xce\xbcs", 1 },
                /* Mean lengths, as systemd has them: 30.44 days and 365.25 days. */
                { "months", 2629800 * USEC_PER_SEC },   { "month", 2629800 * USEC_PER_SEC },
                { "M", 2629800 * USEC_PER_SEC },        { "years", 31557600 * USEC_PER_SEC },
                { "year", 31557600 * USEC_PER_SEC },    { "y", 31557600 * USEC_PER_SEC },
        };
        size_t n = 0;

        while (n < s->size && !is_digit(s->data[n]) && s->data[n] != ' ' && s->data[n] != '\t')
                n++;
        if (n == 0) {
                *ret = USEC_PER_SEC;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (slice_equal((Slice){ s->data, n }, slice_of(units[i].name))) {
                        *s = skip(*s, n);
                        *ret = units[i].usec;
                        return 0;
                }
        return CONF_VALUE_BAD;
}

int conf_parse_time(Slice s, usec_t *ret) {
        usec_t sum = 0;

        if (s.size == 0)
                return CONF_VALUE_BAD;
        while (s.size > 0) {
                uint64_t whole, value;
                Slice fraction;
                usec_t unit;

                if (take_decimal(&s, &whole, &fraction) != 0)
                        return CONF_VALUE_BAD;
                s = slice_trim(s);
                if (take_time_unit(&s, &unit) != 0)
                        return CONF_VALUE_BAD;
                if (scale_decimal(whole, fraction, unit, &value) != 0 || __builtin_add_overflow(sum, value, &sum))
                        return CONF_VALUE_BAD;
                s = slice_trim(s);
        }
        *ret = sum;
        return 0;
}

int conf_parse_size(Slice s, uint64_t *ret) {
        static const char suffixes[] = "BKMGTPE";
        uint64_t whole, value, unit = 1;
        Slice fraction;

        if (take_decimal(&s, &whole, &fraction) != 0)
                return CONF_VALUE_BAD;
        s = slice_trim(s);
        if (s.size > 0) {
                const char *at = s.size == 1 && s.data[0] != '\0' ? strchr(suffixes, s.data[0]) : NULL;

                if (!at)
                        return CONF_VALUE_BAD;
                unit = UINT64_C(1) << (10 * (at - suffixes));
        }
        if (unit == 1 && fraction.size > 0)
                return CONF_VALUE_BAD;
        if (scale_decimal(whole, fraction, unit, &value) != 0)
                return CONF_VALUE_BAD;
        *ret = value;
        return 0;
}

int conf_parse_prefix(Slice s, Prefix ret[2], size_t *ret_n) {
        static const struct {
                const char *word, *ipv4, *ipv6;
        } words[] = {
                { "localhost", "127.0.0.0/8", "::1/128" },
                { "link-local", "169.254.0.0/16", "fe80::/10" },
                { "any", "0.0.0.0/0", "::/0" },
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (slice_equal(s, slice_of(words[i].word))) {
                        Prefix p[2];

                        if (prefix_from_text(slice_of(words[i].ipv4), &p[0]) != 0 ||
                            prefix_from_text(slice_of(words[i].ipv6), &p[1]) != 0)
                                return CONF_VALUE_BAD;
                        memcpy(ret, p, sizeof(p));
                        *ret_n = 2;
                        return 0;
                }
        if (prefix_from_text(s, &ret[0]) != 0)
                return CONF_VALUE_BAD;
        *ret_n = 1;
        return 0;
}

static int parse_port(Slice s, uint16_t *ret) {
        uint32_t port;

        if (text_to_uint32(s, UINT16_MAX, &port) != 0 || port == 0)
                return CONF_VALUE_BAD;
        *ret = (uint16_t) port;
        return 0;
}

/*
 * "HOST", "HOST:PORT", "[V6]", "[V6]:PORT", or a bare IPv6 address. Without a port ret_port is { NULL, 0 }. The host is
 * without brackets; what stood in them may be anything.
 */
static int split_host_port(Slice s, Slice *ret_host, Slice *ret_port, bool *ret_brackets) {
        const char *end;
        Slice host = s, port = { NULL, 0 };
        bool brackets = s.size > 0 && s.data[0] == '[';

        if (s.size == 0)
                return CONF_VALUE_BAD;
        if (brackets) {
                end = memchr(s.data, ']', s.size);
                if (!end)
                        return CONF_VALUE_BAD;
                host = (Slice){ s.data + 1, (size_t) (end - s.data) - 1 };
                port = (Slice){ end + 1, s.size - host.size - 2 };
                if (port.size > 0 && port.data[0] != ':')
                        return CONF_VALUE_BAD;
                port = port.size > 0 ? skip(port, 1) : (Slice){ NULL, 0 };
        } else {
                end = memchr(s.data, ':', s.size);
                /* With a second colon it can only be a bare IPv6 address. */
                if (end && !memchr(end + 1, ':', s.size - (size_t) (end + 1 - s.data))) {
                        host.size = (size_t) (end - s.data);
                        port = (Slice){ end + 1, s.size - host.size - 1 };
                }
        }
        *ret_host = host;
        *ret_port = port;
        *ret_brackets = brackets;
        return 0;
}

int conf_parse_listen(Slice s, bool may_be_auto, ConfListen *ret) {
        ConfListen l = { .any_address = true };
        Slice host = s, port;
        bool brackets, has_colon = s.size > 0 && memchr(s.data, ':', s.size);

        if (has_colon) {
                if (split_host_port(s, &host, &port, &brackets) != 0 || !port.data)
                        return CONF_VALUE_BAD;
                if (address_from_text(host, &l.endpoint.address) != 0)
                        return CONF_VALUE_BAD;
                /* "2001:db8::1:80" must not be taken for anything. */
                if (brackets != !!memchr(host.data, ':', host.size))
                        return CONF_VALUE_BAD;
                l.any_address = false;
        } else
                port = s;

        if (may_be_auto && slice_equal(port, SLICE_LITERAL("auto")))
                l.is_auto = true;
        else if (parse_port(port, &l.endpoint.port) != 0)
                return CONF_VALUE_BAD;
        *ret = l;
        return 0;
}

static bool host_name_is_valid(Slice s) {
        Address address;
        bool is_number = true;

        if (s.size == 0 || s.size > PROTO_HOST_MAX || s.data[0] == '-' || s.data[0] == '.')
                return false;
        for (size_t i = 0; i < s.size; i++) {
                char c = s.data[i];

                if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
                    c != '-' && c != '.' && c != '_')
                        return false;
                is_number = is_number && (is_digit(c) || c == '.');
        }
        /* "65423" alone and "192.0.2.256" are mistakes that a resolver would tell much later, in other words. */
        return !is_number || address_from_text(s, &address) == 0;
}

void conf_server_done(ConfServer *s) {
        free(s->text);
        free(s->host);
        *s = (ConfServer){ 0 };
}

int conf_parse_server(Slice s, uint16_t default_port, ConfServer *ret) {
        _cleanup_(conf_server_done) ConfServer server = { .port = default_port };
        Slice host, port;
        Address address;
        bool brackets, is_ipv6;

        if (split_host_port(s, &host, &port, &brackets) != 0)
                return CONF_VALUE_BAD;
        is_ipv6 = host.size > 0 && memchr(host.data, ':', host.size);
        if (brackets && !is_ipv6)
                return CONF_VALUE_BAD;
        if (is_ipv6 ? address_from_text(host, &address) != 0 : !host_name_is_valid(host))
                return CONF_VALUE_BAD;
        if (port.data && parse_port(port, &server.port) != 0)
                return CONF_VALUE_BAD;

        server.text = strndup(s.data, s.size);
        server.host = strndup(host.data, host.size);
        if (!server.text || !server.host)
                return -ENOMEM;
        *ret = server;
        server = (ConfServer){ 0 };
        return 0;
}

/* A name for getpwnam_r() and getgrnam_r(), which want it terminated. */
static int copy_name(Slice s, char ret[256]) {
        if (s.size == 0 || s.size > 255 || memchr(s.data, '\0', s.size))
                return CONF_VALUE_BAD;
        memcpy(ret, s.data, s.size);
        ret[s.size] = '\0';
        return 0;
}

/* What "there is no such name" looks like varies between name services: see getpwnam(3), "ERRORS". */
static int name_error(int error) {
        switch (error) {
        case 0:
        case ENOENT:
        case ESRCH:
        case EBADF:
        case EPERM:
                return CONF_VALUE_BAD;
        default:
                return -error;
        }
}

/* Numbers but the last one, which means "none" to chown(). */
#define ID_MAX (UINT32_MAX - 1)

bool conf_is_instance(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-");

        return n > 0 && n <= CONF_INSTANCE_MAX && !name[n] && name[0] != '.';
}

int conf_parse_user(Slice s, uint32_t *ret) {
        char name[256];

        if (text_to_uint32(s, ID_MAX, ret) == 0)
                return 0;
        if (copy_name(s, name) != 0)
                return CONF_VALUE_BAD;

        for (size_t size = 4096; size <= NAME_BUFFER_MAX; size *= 2) {
                _cleanup_free_ char *buffer = malloc(size);
                struct passwd entry, *found = NULL;
                int error;

                if (!buffer)
                        return -ENOMEM;
                error = getpwnam_r(name, &entry, buffer, size, &found);
                if (error == ERANGE)
                        continue;
                if (!found)
                        return name_error(error);
                *ret = found->pw_uid;
                return 0;
        }
        return -ERANGE;
}

int conf_parse_group(Slice s, uint32_t *ret) {
        char name[256];

        if (text_to_uint32(s, ID_MAX, ret) == 0)
                return 0;
        if (copy_name(s, name) != 0)
                return CONF_VALUE_BAD;

        for (size_t size = 4096; size <= NAME_BUFFER_MAX; size *= 2) {
                _cleanup_free_ char *buffer = malloc(size);
                struct group entry, *found = NULL;
                int error;

                if (!buffer)
                        return -ENOMEM;
                error = getgrnam_r(name, &entry, buffer, size, &found);
                if (error == ERANGE)
                        continue;
                if (!found)
                        return name_error(error);
                *ret = found->gr_gid;
                return 0;
        }
        return -ERANGE;
}

void conf_format_time(usec_t t, char *ret, size_t size) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", USEC_PER_DAY },  { "h", USEC_PER_HOUR },   { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC },  { "ms", USEC_PER_MSEC },  { "us", 1 },
        };
        size_t used = 0;

        (void) snprintf(ret, size, "0");
        for (size_t i = 0; i < ELEMENTSOF(units) && used < size; i++) {
                int n;

                if (t < units[i].usec)
                        continue;
                n = snprintf(ret + used, size - used, "%s%llu%s", used > 0 ? " " : "",
                             (unsigned long long) (t / units[i].usec), units[i].name);
                t %= units[i].usec;
                used += (size_t) n;
        }
}

void conf_format_size(uint64_t v, char *ret, size_t size) {
        static const char suffixes[] = "BKMGTPE";
        size_t i = 0;

        while (v > 0 && v % 1024 == 0 && i < sizeof(suffixes) - 2) {
                v /= 1024;
                i++;
        }
        (void) snprintf(ret, size, i > 0 ? "%llu%c" : "%llu", (unsigned long long) v, suffixes[i]);
}
