#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# etc/rs.ini and etc/peer.ini are what the table of keys makes, and the manual pages have an item for each key and for no other.
#
#   check-ini.sh [PRINT-INI [SRCDIR]]
#
# PRINT-INI: the program made from tests/unit/print-ini.c. After a change of the table: print-ini rs > etc/rs.ini, and so on.
set -eu

print_ini=${1:-${P2PDI_BUILDDIR:-.}/tests/unit/print-ini}
srcdir=${2:-${P2PDI_SRCDIR:-.}}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

for program in rs peer; do
        "$print_ini" "$program" >"$tmp/$program.ini"
        if ! diff -u "$srcdir/etc/$program.ini" "$tmp/$program.ini"; then
                echo "etc/$program.ini is not what print-ini $program makes." >&2
                failed=1
        fi

        page=$srcdir/man/$program.ini.5
        if [ ! -e "$page" ]; then
                echo "man/$program.ini.5 is missing." >&2
                failed=1
                continue
        fi
        # Section and key, one a line: from the file, and from .Ss [Section] and .It Cm Key= of the page.
        awk '/^\[/ { section = $0 } /^#[A-Za-z]+=/ { sub(/^#/, ""); sub(/=.*/, "="); print section, $0 }' \
                "$tmp/$program.ini" | sort >"$tmp/$program.keys"
        awk '/^\.Ss / { section = $2 } /^\.It Cm [A-Za-z]+=$/ { print section, $3 }' \
                "$page" | sort >"$tmp/$program.items"
        if [ ! -s "$tmp/$program.keys" ]; then
                echo "print-ini $program gave no keys." >&2
                failed=1
        fi
        if ! diff -u "$tmp/$program.keys" "$tmp/$program.items"; then
                echo "man/$program.ini.5 does not have the keys of etc/$program.ini (+: only in the page)." >&2
                failed=1
        fi
done
exit $failed
