/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What a value in an INI file may look like: bytes to typed values and, for messages, back. One function per kind;
 * ranges and lists are conf-keys.c's. Values are taken without blanks at both ends, as they come from the file.
 */

#include "core/address.h"
#include "core/base.h"
#include "io/conf.h"

/* Answers */
enum {
        CONF_VALUE_BAD = 1,             /* not of that form; the output is untouched */
};

/* yes, true, on, 1, y, t and no, false, off, 0, n, f; case does not count. */
int conf_parse_bool(Slice s, bool *ret) _must_check_;
/*
 * "5s", "1min 30s", "1.5h", "30d"; a plain number is seconds; units as in systemd.time(7). "infinity" is not a time
 * here.
 */
int conf_parse_time(Slice s, usec_t *ret) _must_check_;
/* "4096", "64M", "1.5G": base 1024, suffixes B K M G T P E. */
int conf_parse_size(Slice s, uint64_t *ret) _must_check_;

/*
 * "ADDR", "ADDR/BITS", or a word that stands for two prefixes: "localhost" (127.0.0.0/8, ::1), "link-local"
 * (169.254.0.0/16, fe80::/10), "any" (0.0.0.0/0, ::/0). *ret_n is 1 or 2.
 */
int conf_parse_prefix(Slice s, Prefix ret[2], size_t *ret_n) _must_check_;
/* "PORT", "ADDR:PORT", "[V6]:PORT"; with may_be_auto PORT may be "auto", any free one. Port 0 is refused. */
int conf_parse_listen(Slice s, bool may_be_auto, ConfListen *ret) _must_check_;
/*
 * "HOST", "HOST:PORT", "ADDR", "ADDR:PORT", "V6", "[V6]", "[V6]:PORT". *ret's strings are the caller's. Also -ENOMEM.
 */
int conf_parse_server(Slice s, uint16_t default_port, ConfServer *ret) _must_check_;
void conf_server_done(ConfServer *s);

/* Bytes of the name of an instance: it becomes part of a unit's and a directory's. */
#define CONF_INSTANCE_MAX 64
/* A name that a peer's instance may have: letters, digits and ":_.-", not beginning with a dot; nothing that units escape. */
bool conf_is_instance(const char *name);

/* A name or a number. They may ask a name service, so they can block. Also -errno, where that fails. */
int conf_parse_user(Slice s, uint32_t *ret) _must_check_;
int conf_parse_group(Slice s, uint32_t *ret) _must_check_;

/* In the form in which it would be written in the file: "1h 30min", "0", "1536K". Cut where ret is too small. */
void conf_format_time(usec_t t, char *ret, size_t size);
void conf_format_size(uint64_t v, char *ret, size_t size);
