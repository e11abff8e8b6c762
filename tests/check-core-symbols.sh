#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# core/ decides and touches nothing: what libcore.a takes from elsewhere is on this list (memory, strings, numbers), so that sockets, files, stdio,
# clocks, random numbers, the environment, exits, threads, journal and bus are not. And it keeps no globals.
#
#   P2PDI_BUILDDIR: where libcore.a is. NM: the program nm.
set -eu

library=${P2PDI_BUILDDIR:-.}/libcore.a
nm=${NM:-nm}
if [ ! -e "$library" ]; then
        echo "$library is missing." >&2
        exit 1
fi
if ! command -v "${nm%% *}" >/dev/null; then
        echo "There is no nm here." >&2
        exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# Unquoted: NM may have options. sysv: with sections, which alone tell constants that are relocated from data that can change.
$nm -f sysv "$library" >"$tmp/symbols" 2>"$tmp/errors" || { cat "$tmp/errors" >&2; exit 1; }
LC_ALL=C awk -F '|' '
BEGIN {
        n = split("aligned_alloc calloc free malloc realloc reallocarray " \
                  "bcmp explicit_bzero memccpy memchr memcmp memcpy memmem memmove mempcpy memrchr memset rawmemchr " \
                  "stpcpy strcasecmp strcat strchr strchrnul strcmp strcpy strcspn strdup strlcat strlcpy strlen strncasecmp strncmp strncpy " \
                  "strndup strnlen strpbrk strrchr strsep strspn strstr " \
                  "__ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc tolower toupper " \
                  "bsearch htonl htons inet_ntop inet_pton ntohl ntohs qsort qsort_r snprintf strtonum vsnprintf " \
                  "abort __assert_fail __errno_location __stack_chk_fail __stack_chk_guard _GLOBAL_OFFSET_TABLE_", word, " ")
        for (i = 1; i <= n; i++)
                allowed[word[i]] = 1
}
# What the compiler makes of the list: fortified (__memcpy_chk), arithmetic (__popcountdi2), instrumentation.
function is_allowed(s,    plain) {
        if (s in allowed || s ~ /^__[a-z]+[dt]i[234]?$/)
                return 1
        plain = s
        if (sub(/^__/, "", plain) && sub(/_chk$/, "", plain) && plain in allowed)
                return 1
        return is_instrumentation(s)
}
function is_instrumentation(s) {
        return s ~ /^_*(asan|hwasan|lsan|msan|tsan|ubsan|sanitizer|sancov|gcov|gcda|llvm)_/ || s ~ /^__(start|stop)___(sancov|llvm|asan)/ ||
               s ~ /^__(odr_asan|profc|profd|profn|covrec|ubsan)/
}
function trimmed(s) {
        gsub(/^[[:space:]]+|[[:space:]]+$/, "", s)
        return s
}
NF >= 7 {
        name = trimmed($1)
        class = trimmed($3)
        section = trimmed($7)
        if (name == "" || name == "Name")
                next
        n_symbols++
        if (is_instrumentation(name))
                instrumented = 1
        else if (class == "U" || class == "w")
                needed[name] = 1
        else {
                defined[name] = 1
                if (section ~ /^\.(t?bss|t?data)/ && section !~ /^\.data\.rel\.ro/ || section ~ /COM/)
                        global[name] = section
        }
}
END {
        if (n_symbols == 0) {
                print "libcore.a has no symbols that nm could show."
                exit 1
        }
        for (name in needed)
                if (!(name in defined) && !is_allowed(name)) {
                        print "core uses " name "(): not for a layer that opens nothing, reads no clock, logs nothing."
                        bad = 1
                }
        # An instrumented library has data of its own.
        for (name in global)
                if (!instrumented) {
                        print "core keeps a global: " name " in " global[name] "."
                        bad = 1
                }
        exit bad
}' "$tmp/symbols" >&2
