#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Each header compiles alone, without warnings: who includes it needs to include nothing before it.
#
#   P2PDI_SRCDIR: the source tree. P2PDI_BUILDDIR: where config.h is. CC: the compiler. P2PDI_CPPFLAGS: its -I, -D and -include.
set -eu

srcdir=$(cd "${P2PDI_SRCDIR:-${srcdir:-.}}" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# A source for each, and the compiler started once: starting it takes longer than what it does. Not for a header that the source of its name has
# before anything else: the build compiled that, with the same warnings.
(cd "$srcdir/src" && find . -name '*.h' | sed 's,^\./,,') | LC_ALL=C sort >"$tmp/headers"
if [ ! -s "$tmp/headers" ]; then
        echo "There are no headers in $srcdir/src." >&2
        exit 1
fi
n=0
while read -r header; do
        source=$srcdir/src/${header%.h}.c
        [ ! -e "$source" ] || [ "$(grep -m 1 '^[[:space:]]*#' "$source")" != "#include \"$header\"" ] || continue
        printf '#include "%s"\n' "$header" >"$tmp/$(echo "$header" | tr / +).c"
        n=$((n + 1))
done <"$tmp/headers"

cd "${P2PDI_BUILDDIR:-.}"
# Unquoted: lists of words. -D_GNU_SOURCE and -std as the build has them, for whoever calls without configure's.
if ! ${CC:-cc} -std=gnu11 -D_GNU_SOURCE ${P2PDI_CPPFLAGS--I"$srcdir/src"} -fsyntax-only -Wall -Wextra -Wshadow -Wstrict-prototypes \
        -Wmissing-prototypes -Wformat=2 -Wwrite-strings -Wundef -Wvla -Werror "$tmp"/*.c >"$tmp/messages" 2>&1; then
        cat "$tmp/messages" >&2
        echo "Of $n headers, some do not compile alone: see above." >&2
        exit 1
fi
