#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The catalog of messages has one entry for each MESSAGE_ID that the code logs, and no other; no field in it that journalctl can't fill in.
# Where journalctl is here, it compiles the catalog and gives back each entry.
#
#   P2PDI_SRCDIR: the source tree.
set -eu
LC_ALL=C
export LC_ALL

srcdir=${P2PDI_SRCDIR:-${srcdir:-.}}
catalog=$srcdir/systemd/p2pdi.catalog
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

fail() {
        echo "check-catalog.sh: $*" >&2
        failed=1
}
# tell FILE WORDS: one complaint for each line.
tell() { while read -r item; do fail "$item $2"; done <"$1"; }

sed -n 's/^ *X([A-Z_]*, "\([0-9a-f]\{32\}\)").*/\1/p' "$srcdir/src/io/log.h" | sort >"$tmp/code"
sed -n 's/^-- \([0-9a-f]\{32\}\)$/\1/p' "$catalog" | sort >"$tmp/catalog"
[ -s "$tmp/code" ] || fail "found no MESSAGE_ID in log.h."
uniq -d "$tmp/code" >"$tmp/found"
tell "$tmp/found" 'stands in log.h twice.'
uniq -d "$tmp/catalog" >"$tmp/found"
tell "$tmp/found" 'has two entries in the catalog.'
comm -23 "$tmp/code" "$tmp/catalog" >"$tmp/found"
tell "$tmp/found" 'is logged, and has no entry in the catalog.'
comm -13 "$tmp/code" "$tmp/catalog" >"$tmp/found"
tell "$tmp/found" 'has an entry in the catalog, and is not logged.'
grep '^-- ' "$catalog" | grep -vx -- '-- [0-9a-f]\{32\}' >"$tmp/found" || :
tell "$tmp/found" 'is no head of an entry.'

# Names of fields with a digit in them (all of ours) are printed as they stand.
grep -o '@[A-Za-z0-9_]*@' "$catalog" | sort -u | grep -vx '@[A-Z_]*@' >"$tmp/found" || :
tell "$tmp/found" 'can not be filled in.'
awk '/^-- / { if (id && !(subject && message)) print id; id = $2; subject = message = 0 } /^Subject: ./ { subject = 1 } /@MESSAGE@/ { message = 1 }
        END { if (id && !(subject && message)) print id }' "$catalog" >"$tmp/found"
tell "$tmp/found" 'lacks its Subject: or @MESSAGE@ in the catalog.'

if command -v journalctl >/dev/null; then
        mkdir -p "$tmp/root/usr/lib/systemd/catalog" "$tmp/root/var/lib/systemd/catalog"
        cp "$catalog" "$tmp/root/usr/lib/systemd/catalog"
        # A line that it can't read is a complaint, and exit status 0.
        journalctl --root="$tmp/root" --update-catalog >"$tmp/said" 2>&1 || fail "journalctl does not take the catalog."
        tell "$tmp/said" '(says journalctl)'
        journalctl --root="$tmp/root" --dump-catalog >"$tmp/dump" 2>/dev/null || fail "journalctl does not give the catalog back."
        sed -n 's/^-- \([0-9a-f]\{32\}\)$/\1/p' "$tmp/dump" | sort >"$tmp/given"
        comm -3 "$tmp/code" "$tmp/given" | tr -d '\t' >"$tmp/found"
        tell "$tmp/found" 'is not as it should be once the catalog is compiled.'
else
        echo "There is no journalctl here: the catalog was not compiled." >&2
        [ $failed = 0 ] && exit 77
fi
exit $failed
