#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The manual pages say what the programs do: options and verbs of --help, exit status, MESSAGE_IDs, metrics, references; and mandoc has nothing to say.
#
#   P2PDI_SRCDIR: the source tree. P2PDI_BUILDDIR: where the programs are. MANDOC: the program mandoc, or "no".
set -eu
LC_ALL=C
export LC_ALL

srcdir=${P2PDI_SRCDIR:-${srcdir:-.}}
builddir=${P2PDI_BUILDDIR:-.}
mandoc=${MANDOC:-mandoc}
man=$srcdir/man
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# What says that something is wrong is what makes the exit status, wherever it is called.
fail() {
        echo "check-man.sh: $*" >&2
        : >"$tmp/failed"
}
# same PAGE WHAT: $tmp/code and $tmp/page, one item a line in any order, hold the same, and something.
same() {
        sort -u "$tmp/code" >"$tmp/code.sorted"
        sort -u "$tmp/page" >"$tmp/page.sorted"
        [ -s "$tmp/code.sorted" ] || fail "found no $2 to compare $1 with."
        comm -23 "$tmp/code.sorted" "$tmp/page.sorted" >"$tmp/only"
        while read -r item; do fail "$1 lacks $2 $item"; done <"$tmp/only"
        comm -13 "$tmp/code.sorted" "$tmp/page.sorted" >"$tmp/only"
        while read -r item; do fail "$1 tells of $2 $item, which is not there"; done <"$tmp/only"
}
# section PAGE NAME: its lines.
section() { awk -v name="$2" '/^\.Sh / { inside = $0 == ".Sh " name; next } inside' "$man/$1"; }

# ---- each page by itself ----
# Our pages are called p2pdi, p2pdi-… or ….ini; others may not be installed.
awk '
function say(why) { print page " " why }
function done() {
        if (page == "")
                return
        if (!licence) say("has no SPDX line at its top.")
        if (title != page) say("calls itself " title ".")
        if (!system_name) say("has another .Os line than the others.")
}
FNR == 1 { done(); page = FILENAME; sub(/.*\//, "", page); is_page[page]; licence = title = system_name = "" }
FNR <= 3 && /^\.\\" SPDX-License-Identifier: BSD-2-Clause$/ { licence = 1 }
/^\.Dt / && title == "" { title = tolower($2) "." $3 }
/^\.Os P2P-DI$/ { system_name = 1 }
/^\.Xr / && ($2 ~ /^p2pdi(-|$)/ || $2 ~ /\.ini$/) {
        if ($2 "." $3 == page) say("refers to itself.")
        refers[page " refers to " $2 "." $3 ", which is not there."] = $2 "." $3
}
END { done(); for (r in refers) if (!(refers[r] in is_page)) print r }' "$man"/*.[1-9] >"$tmp/only"
while read -r line; do fail "$line"; done <"$tmp/only"

# ---- options ----
for program in p2pdi-rsd p2pdi-peerd p2pdi-socket-generator p2pdi-ctl; do
        page=$program.8
        [ $program != p2pdi-ctl ] || page=$program.1
        if [ ! -x "$builddir/$program" ] || [ ! -e "$man/$page" ]; then
                fail "$builddir/$program or man/$page is missing."
                continue
        fi
        "$builddir/$program" --help >"$tmp/help.$program"
        # "  -h --help   Show": what stands before the text.
        sed -n 's/^ \{1,\}\(-.*\)/\1/p' "$tmp/help.$program" | awk '{ for (i = 1; i <= NF && $i ~ /^-/; i++) { sub(/[=[].*/, "", $i); print $i } }' >"$tmp/code"
        # ".It Fl h , Fl -help", ".It Fl -config Ns = Ns Ar file", ".It Fl -config= Ns Ar file"
        section $page OPTIONS | awk '/^\.It / { for (i = 2; i < NF; i++) if ($i == "Fl") { o = $(i + 1); sub(/=.*/, "", o); print "-" o } }' >"$tmp/page"
        same $page option
done

# ---- verbs ----
if [ -e "$tmp/help.p2pdi-ctl" ]; then
        # "  list [RANGE…]   List the store": without the text, which completion has alone.
        "$builddir/p2pdi-ctl" --complete -- '' >"$tmp/texts"
        awk -F '\t' 'NR == FNR { text[$1] = $2; next } /^Verbs:/ { inside = 1; next } /^$/ { inside = 0 } inside && /^  [a-z]/ {
                        verb = $0; sub(/^  /, "", verb); sub(/ .*/, "", verb)
                        left = substr($0, 3, length($0) - 2 - length(text[verb])); sub(/ *$/, "", left); print left
                }' "$tmp/texts" "$tmp/help.p2pdi-ctl" >"$tmp/code"
        # ".It Cm list Oo Fl -all Oc Op Ar range ...": without the options.
        section p2pdi-ctl.1 VERBS | awk '/^\.It Cm / {
                line = $3; open = joined = skipped = 0
                for (i = 4; i <= NF; i++) {
                        if ($i == "Oc") { if (!skipped) line = line "]"; skipped = open = 0; continue }
                        if (skipped) continue
                        if ($i == "Op" || $i == "Oo") {
                                if ($(i + 1) == "Fl") { skipped = 1; continue }
                                line = line " ["; open = joined = 1
                                continue
                        }
                        if ($i == "Ar" || $i == "Cm") { kind = $i; continue }
                        word = $i == "..." ? "…" : kind == "Ar" ? toupper($i) : $i
                        line = line (joined || word == "…" || word == "|" ? "" : " ") word
                        joined = word == "|"
                }
                print line (open ? "]" : "")
        }' >"$tmp/page"
        same p2pdi-ctl.1 verb

        # The options that a verb takes beside those that all take, as completion knows them.
        : >"$tmp/code"
        cut -d ' ' -f 1 "$tmp/page" >"$tmp/verbs"
        while read -r verb; do
                echo "$verb"
                "$builddir/p2pdi-ctl" --complete -- "$verb" --
        done <"$tmp/verbs" | awk '/^[^-]/ { verb = $1; next } { sub(/[=	].*/, ""); print verb, $0 }' >"$tmp/taken"
        awk -v n="$(wc -l <"$tmp/verbs")" '{ count[$2]++; line[NR] = $0 } END { for (i = 1; i <= NR; i++) { split(line[i], w, " "); if (count[w[2]] < n) print line[i] } }' \
                "$tmp/taken" >"$tmp/code"
        section p2pdi-ctl.1 VERBS | awk '/^\.It Cm / { for (i = 4; i <= NF; i++) if ($i == "Fl") print $3, "-" $(i + 1) }' >"$tmp/page"
        same p2pdi-ctl.1 'option of a verb,'
fi

# ---- environment of the tool ----
cat "$srcdir"/src/ctl/*.c | sed -n 's/.*\(getenv\|from_environment\)("\([A-Z_]*\)").*/\2/p' >"$tmp/code"
cat "$srcdir"/src/ctl/*.c | sed -n 's/.*getenv("\([A-Z_]*\)").*getenv(.*/\1/p' >>"$tmp/code"
section p2pdi-ctl.1 ENVIRONMENT | awk '/^\.It / { for (i = 2; i < NF; i++) if ($i == "Ev") print $(i + 1) }' >"$tmp/page"
# Told by the way: who is behind sudo.
echo SUDO_UID >>"$tmp/page"
same p2pdi-ctl.1 'environment variable'

# ---- exit status: number, name and sentence ----
sed -n 's/^ *X(\([0-9]*\), [A-Z_]*, "\([^"]*\)", "\([^"]*\)").*/\1 \2 \3/p' "$srcdir/src/ctl/exit-codes.h" >"$tmp/code"
section p2pdi-ctl.1 'EXIT STATUS' | sed -n 's/\\&//g; s/^\.It \([0-9]*\) Ta \([^ ]*\) Ta \(.*\)/\1 \2 \3/p' >"$tmp/page"
same p2pdi-ctl.1 'exit status'

# ---- status codes of the wire, and those of HTTP: each table of the page against a switch of the code ----
statuses() {
        awk '/^ *case [0-9]+:$/ { sub(/:/, "", $2); code = $2; next } code && /^ *return "/ { sub(/^ *return "/, ""); sub(/";$/, ""); print code, $0 } { code = "" }' \
                "$srcdir/src/core/$1" >"$tmp/code"
        section p2pdi-protocol.7 "$2" | sed -n 's/\\&//g; s/^\.It \([0-9]*\) Ta \([^ ].*\) Ta.*/\1 \2/p' >"$tmp/page"
        same p2pdi-protocol.7 "$3"
}
statuses msg.c 'STATUS CODES' 'status code'
statuses http-reply.c HTTP 'HTTP status code'

# ---- MESSAGE_IDs: in the page of the daemon that logs it; what io/ logs, both do ----
sed -n 's/^ *X(\([A-Z_]*\), "\([0-9a-f]\{32\}\)").*/\1 \2/p' "$srcdir/src/io/log.h" >"$tmp/events"
for daemon in rsd peerd; do
        # Words that are no event of the table are none that could be logged: the compiler looks after that.
        cat "$srcdir/src/$daemon"/*.[ch] "$srcdir/src/io/daemon.c" "$srcdir/src/io/daemon-listen.c" "$srcdir/src/io/control.c" | grep -o 'LOG_EVENT_[A-Z_]*' | sed 's/^LOG_EVENT_//' | sort -u >"$tmp/logged"
        awk 'NR == FNR { logged[$1] = 1; next } $1 in logged { print $2 }' "$tmp/logged" "$tmp/events" >"$tmp/code"
        grep -ow '[0-9a-f]\{32\}' "$man/p2pdi-$daemon.8" >"$tmp/page" || :
        same p2pdi-$daemon.8 MESSAGE_ID
        cat "$tmp/code" >>"$tmp/all"
done
cut -d ' ' -f 2 "$tmp/events" >"$tmp/code"
mv "$tmp/all" "$tmp/page"
same 'src/rsd, src/peerd, src/io/daemon.c and src/io/control.c, as their pages do,' MESSAGE_ID
grep -lw '[0-9a-f]\{32\}' "$man"/*.[1-9] | grep -v '/p2pdi-\(rsd\|peerd\)\.8$' >"$tmp/only" || :
while read -r page; do fail "${page##*/} has a MESSAGE_ID: those are told in p2pdi-rsd.8 and p2pdi-peerd.8."; done <"$tmp/only"

# ---- fields of the journal ----
grep -o 'P2PDI_[A-Z0-9_]*=' "$srcdir/src/io/log-text.c" | tr -d = >"$tmp/code"
grep '^\.It Va ' "$man/p2pdi-journal-fields.7" | grep -o 'P2PDI_[A-Z0-9_]*' >"$tmp/page"
same p2pdi-journal-fields.7 field

# ---- metrics: their types, labels and values; in the items of that section Va is a label, and Ql a value of it ----
for daemon in rsd peerd; do
        "$builddir/tests/unit/print-metrics" $daemon >"$tmp/code" || fail "$builddir/tests/unit/print-metrics is missing."
        section p2pdi-$daemon.8 METRICS | awk '
                /^\.It Va / { name = $3; label = ""; print name, $5; next }
                /^\.El/ { name = "" }
                name && /^\.Va / { label = $2; print name, label "=" }
                name && /^\.Ql / { print name, label "=" $2 }
                name && /^\.Pq Ql / { print name, label "=" $3 }' >"$tmp/page"
        same p2pdi-$daemon.8 metric
done

# ---- mandoc ----
if [ "$mandoc" = no ] || ! command -v "$mandoc" >/dev/null; then
        echo "There is no mandoc here: the pages were not linted." >&2
        [ ! -e "$tmp/failed" ] && exit 77
        exit 1
fi
"$mandoc" -T lint -W warning "$man"/*.[1-9] >"$tmp/lint" 2>&1 || :
if [ -s "$tmp/lint" ]; then
        cat "$tmp/lint" >&2
        fail "mandoc is not content."
fi
[ ! -e "$tmp/failed" ]
