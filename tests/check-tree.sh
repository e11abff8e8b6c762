#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# What no file of the tree may lack or hold: its licence; a place in the Makefile; the text of an RFC; the wire's own words outside of the two
# modules that know them; paths of whoever wrote it.
#
#   P2PDI_SRCDIR: the source tree, a checkout or what a tarball gives.
set -eu

cd "${P2PDI_SRCDIR:-${srcdir:-.}}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# complain WHY: shows what is on stdin, if anything is. At the end of a pipe it is a process of its own: a file tells of it.
complain() {
        cat >"$tmp/found"
        [ -s "$tmp/found" ] || return 0
        sed 's/^/        /' "$tmp/found" >&2
        echo "check-tree.sh: $1" >&2
        : >"$tmp/failed"
}

# git knows what is ours, also what is not committed yet. A tarball has nothing but ours and what autotools, make and Python left there.
top=$(git rev-parse --show-toplevel 2>/dev/null || true)
if [ -n "$top" ] && [ "$top" = "$(pwd -P)" ]; then
        git ls-files --cached --others --exclude-standard
else
        find . \( -name .git -o -name autom4te.cache -o -name build-aux -o -name .deps -o -name __pycache__ -o -name .pytest_cache -o \
                -name _build -o -name _inst -o -name 'p2pdi-[0-9]*' -o -name .libs -o -path ./deb -o -name .debhelper -o -path './debian/autoreconf.*' \) -prune -o -type f ! -name '*.[oa]' ! -name '*.log' \
                ! -name '*.trs' ! -name '*.gc[dn][ao]' ! -name '*.py[co]' ! -name '*~' ! -name '*.so' ! -name configure ! -name aclocal.m4 \
                ! -name config.status ! -name 'config.h*' ! -name stamp-h1 ! -name Makefile ! -name Makefile.in ! -name .dirstamp -print |
                sed 's,^\./,,'
fi | LC_ALL=C sort >"$tmp/all"
# What git lists may be gone from the disk; programs that were built in a tarball's tree are no text. Seeds of fuzzers may be anything.
{
        grep -v '^tests/fuzz/corpus/' "$tmp/all" | tr '\n' '\0' | LC_ALL=C xargs -0 grep -Il '' 2>/dev/null || true
        grep '^tests/fuzz/corpus/' "$tmp/all" || true
} >"$tmp/files"
if ! grep -q '^src/core/' "$tmp/files"; then
        echo "check-tree.sh: $(pwd) holds no src/core." >&2
        exit 1
fi
files() { tr '\n' '\0' <"$tmp/files"; }
# The same without those that are read by people, or by nobody.
sources() { grep -v -e '^COPYING$' -e '\.md$' -e '^\.gitignore$' -e '^tests/fuzz/corpus/' -e '^debian/\(changelog\|source/\)' "$tmp/files" | tr '\n' '\0'; }

# ---- licence: near the top of everything that is read by a compiler, a shell, Python, man or the programs ----
sources | LC_ALL=C xargs -0 awk '
function check() { if (name != "" && !has) print name }
FNR == 1 { check(); name = FILENAME; has = 0 }
FNR <= 5 && /SPDX-License-Identifier: BSD-2-Clause/ { has = 1 }
END { check() }' | complain "no \"SPDX-License-Identifier: BSD-2-Clause\" in the first five lines."

# ---- built, run or packed: what Makefile.am does not name is a test that never runs, or missing from the tarball ----
tr -s ' \t=\\' '\n' <Makefile.am >"$tmp/named"
grep -E '^(src|man|etc|tests)/' "$tmp/files" | grep -v '^tests/fuzz/corpus/' | awk '
NR == FNR { named[$0]; next }
{ program = $0; sub(/\.c$/, "", program); if (!($0 in named) && !(program in named)) print }' "$tmp/named" - |
        complain "is not named in Makefile.am."

# ---- no RFC: its heading at the start of a line. Seeds of the fuzzers are small and made up. ----
heading='^Request for Comm''ents:'
files | LC_ALL=C xargs -0 grep -alE "$heading" /dev/null | while read -r file; do
        case $file in
        tests/fuzz/corpus/*) [ "$(wc -c <"$file")" -lt 2048 ] && continue ;;
        esac
        printf '%s\n' "$file"
done | complain "looks like the text of an RFC, which may not be passed on like the rest."

# ---- wire: version and line ends are written by core/msg and core/proto alone. Comments may tell of them; "\t\r\n" are JSON's blanks. ----
grep '^src/.*\.[ch]$' "$tmp/files" | grep -v '^src/core/\(msg\|proto\)[-.]' | LC_ALL=C xargs awk '
FNR == 1 { inside = 0 }
{
        text = $0
        if (inside) {
                if (!sub(/^.*\*\//, "", text))
                        next
                inside = 0
        }
        gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", text)
        if (sub(/\/\*.*$/, "", text))
                inside = 1
        if (text ~ /P2P-DI\/1/ || text ~ /(^|[^t])\\r\\n/)
                printf "%s:%d:%s\n", FILENAME, FNR, $0
}' | complain "only core/msg and core/proto know the wire: no \"P2P-DI/1.0\", no line ends of it elsewhere."

# ---- nobody's machine: absolute paths of a workplace, and what lies beside the tree. Written so as not to find themselves. ----
files | LC_ALL=C xargs -0 grep -anE \
        '(^|[^A-Za-z0-9_.-])/(work|root|home/[a-z]+|tmp/(team|lead|h[0-9]+))/|\.\./share[d]|(^|[^A-Za-z/])share[d]/(data|design|hooks|tools)' /dev/null |
        cut -c 1-200 | complain "names a path of somebody's machine."
files | LC_ALL=C xargs -0 grep -anE '(^|[^A-Za-z-])(produc[t]|protoco[l]|architectur[e]|anchor[s]|unit[s])\.md' /dev/null |
        cut -c 1-200 | complain "names a paper that is not in the tree: the manual pages are."

# ---- nothing left undone ----
sources | LC_ALL=C xargs -0 grep -nE '(TOD[O]|FIXM[E])([^A-Za-z0-9]|$)' /dev/null |
        complain "is not finished."
[ ! -e "$tmp/failed" ]
