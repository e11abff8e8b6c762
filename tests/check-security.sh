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
awk '/^\| T[0-9]+ \|/ { rows[$2]++ } END { for (n = 1; n <= 26; n++) if (rows["T" n] != 1) print "T" n }' SECURITY.md | complain "This threat does not have one row:"
grep '^| T[0-9]' SECURITY.md | grep -vE '\| (no test: [^|]+|`[^`|]+`( `[^`|]+`)*) \|$' | complain "This threat names no test, nor why there is none:"

# ---- tests: in the file that is named, which make runs ----
tr -s ' \t=\\' '\n' <Makefile.am >"$tmp/named"
{ grep -oE '`[a-z0-9_.-]+/[^` ]+\.(c|py)(::[^`]*)?`|`check-[^`]*`' SECURITY.md || :; } | tr -d '`' | sort -u >"$tmp/tests"
[ "$(wc -l <"$tmp/tests")" -ge 50 ] || echo "$(wc -l <"$tmp/tests") tests" | complain "Tests are not named as they can be read here:"
sed 's/::.*//; s,^,tests/,' "$tmp/tests" | sort -u >"$tmp/wanted"
while IFS= read -r file; do [ ! -f "$file" ] || echo "$file"; done <"$tmp/wanted" >"$tmp/there"
# What the files hold: "tests/unit/test-rate.c::test_burst".
tr '\n' '\0' <"$tmp/there" | xargs -0 grep -oE '^(def|static void) [A-Za-z0-9_]+\(' /dev/null | sed -E 's/:(def|static void) /::/; s/\($//' >"$tmp/held"
awk '
FILENAME ~ /\/named$/ { named[$0]; next }
FILENAME ~ /\/there$/ { there[$0]; next }
FILENAME ~ /\/held$/  { held[$0]; next }
{
        file = "tests/" $0
        sub(/::.*/, "", file)
        program = file
        sub(/\.c$/, "", program)
        if (!(file in there))
                print $0 ": there is no " file
        else if (!(file in named) && !(program in named))
                print $0 ": Makefile.am does not run it"
        else if (/::/ && !("tests/" $0 in held))
                print $0 ": it is not in that file"
}' "$tmp/named" "$tmp/there" "$tmp/held" "$tmp/tests" | complain "This test is not there:"

[ ! -e "$tmp/failed" ]
