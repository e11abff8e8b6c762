#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# SECURITY.md says nothing that no test shows: each sentence of its model and each of the 26 threats names tests that are there, and are run.
#
#   P2PDI_SRCDIR: the tree.
set -eu

cd "${P2PDI_SRCDIR:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
failed=0
# complain WHAT: about each line of standard input.
complain() {
        while read -r line; do
                printf 'SECURITY.md: %s\n        %s\n' "$1" "$line" >&2
                : >"$tmp/failed"
        done
}

# ---- sentences: the items of the model, each with its tests in brackets behind it ----
awk '
function done() { if (item != "") print item; item = "" }
/^## /  { done(); inside = $0 == "## The model" }
/^(#|$)/ { done() }
!inside { next }
/^- /   { done(); item = substr($0, 3); next }
item != "" { sub(/^ +/, ""); item = item " " $0 }
END     { done() }' SECURITY.md >"$tmp/items"
[ "$(wc -l <"$tmp/items")" -ge 30 ] || echo "$(wc -l <"$tmp/items") sentences" | complain "The model is not there, or not as it can be read here:"
grep -vE '\. \[(no test: [^]]+|(T[0-9]+|`[^`]+`)(, (T[0-9]+|`[^`]+`))*)\]$' "$tmp/items" | complain "This sentence does not end in tests in brackets:"
sed 's/ \[[^]]*\]$//' "$tmp/items" | grep -E '[.?!] ' | complain "These are several sentences with the tests of one:"
grep -oE '\[T[^]]*\]' "$tmp/items" | grep -oE 'T[0-9]+' | sort -u | while read -r threat; do
        grep -q "^| $threat |" SECURITY.md || echo "$threat"
done | complain "This threat is not in the table:"

# ---- threats: T1 to T26, a row each, with its tests in the last column ----
n=0
while [ $n -lt 26 ]; do
        n=$((n + 1))
        [ "$(grep -c "^| T$n |" SECURITY.md)" = 1 ] || echo "T$n"
done | complain "This threat does not have one row:"
grep '^| T[0-9]' SECURITY.md | grep -vE '\| (no test: [^|]+|`[^`|]+`( `[^`|]+`)*) \|$' | complain "This threat names no test, nor why there is none:"

# ---- tests: in the file that is named, which make runs ----
tr -s ' \t=\\' '\n' <Makefile.am >"$tmp/named"
{ grep -oE '`[a-z0-9_.-]+/[^` ]+\.(c|py)(::[^`]*)?`|`check-[^`]*`' SECURITY.md || :; } | tr -d '`' | sort -u >"$tmp/tests"
[ "$(wc -l <"$tmp/tests")" -ge 50 ] || echo "$(wc -l <"$tmp/tests") tests" | complain "Tests are not named as they can be read here:"
while IFS= read -r test; do
        file=tests/${test%%::*} name=
        case $test in *::*) name=${test#*::} ;; esac
        if [ ! -f "$file" ]; then
                echo "$test: there is no $file"
        elif ! grep -qxF -e "$file" -e "${file%.c}" "$tmp/named"; then
                echo "$test: Makefile.am does not run it"
        elif [ -n "$name" ] && ! grep -qE "^(def|static void) $name\(" "$file"; then
                echo "$test: it is not in that file"
        fi
done <"$tmp/tests" | complain "This test is not there:"

[ ! -e "$tmp/failed" ] || failed=1
exit $failed
