#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# lint.sh COMPILER-ARGUMENT...: three analyzers, one after the other, read every C file of src and tests: gcc -fanalyzer, cppcheck, clang-tidy
# (with .clang-tidy). Prints what the first of them finds that tests/lint/accepted has no reason for, and fails. A tool that is not there is
# named and passed over. All that they said, with the paths through the code, is in lint.log.
#
#   P2PDI_SRCDIR: the source tree. P2PDI_BUILDDIR: where config.h is; relative arguments begin there. FILES: only these, as src/core/msg.c.
#   TOOLS: only these of "gcc cppcheck clang-tidy"; GCC: the name of another one.
set -eu

srcdir=$(cd "${P2PDI_SRCDIR:-${srcdir:-.}}" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "${P2PDI_BUILDDIR:-.}"
jobs=$(nproc 2>/dev/null || echo 1)
gcc=${GCC:-gcc}
accepted=$srcdir/tests/lint/accepted

# Our headers by whole paths, too: findings are told from what other headers get by where they begin.
set -- -I"$srcdir/src" "$@"

say() { echo "lint: $*" >&2; }

# printf repeats its format: one file a line.
(cd "$srcdir" && printf "$srcdir/%s\n" ${FILES:-$(find src tests -name '*.c' | LC_ALL=C sort)}) >"$tmp/files"

# A line of accepted without a reason is no excuse.
if awk '!/^#/ && NF && NF < 4' "$accepted" | grep . >&2; then
        say "these lines of tests/lint/accepted have no reason"
        exit 1
fi

# each COMMAND...: for every file, which stands where {} does, as many at once as there are CPUs. What is said of a file stays in one piece.
each() {
        xargs -P "$jobs" -I '{}' sh -c 'said=$("$@" 2>&1); status=$?; [ -z "$said" ] || printf "%s\n" "$said"; exit $((status != 0))' \
                each "$@" <"$tmp/files"
}

# As it stands, without optimizing: what gcc 12 has made of a conditional or a clean-up by then it takes for a leak. Ordinary warnings are the
# build's; code nobody needs. At fixed addresses: gcc's analyzer goes by those of its own structs, and finds another thing each time.
run_gcc() {
        fixed=
        ! setarch -R true 2>/dev/null || fixed="setarch -R"
        each $fixed "$gcc" "$@" -O0 -fanalyzer -fdiagnostics-plain-output -S -o /dev/null '{}'
}

# Of the libraries' headers only those whose macros are statements: of functions it has knowledge of its own.
run_cppcheck() {
        bsd=$(${PKG_CONFIG:-pkg-config} --variable=includedir libbsd)/bsd/sys
        jansson=$(${PKG_CONFIG:-pkg-config} --variable=includedir jansson)
        for argument; do
                shift
                case $argument in -D* | -I"$srcdir/src") set -- "$@" "$argument" ;; esac
        done
        cppcheck --quiet -j "$jobs" --std=c11 --enable=warning,performance,portability \
                --template='{file}:{line}:{column}: warning: {message} [{id}]' --file-list="$tmp/files" \
                --include="$bsd/queue.h" --include="$bsd/tree.h" --include="$jansson/jansson.h" --include=config.h \
                -D_GNU_SOURCE "$@" 2>&1
}

# A tenth of the paths that it would follow of its own accord: red-black trees have so many. A leak gets a name of its own: clang's
# analyzer has one for all that may be wrong with memory.
run_clang_tidy() {
        each clang-tidy --quiet --config-file="$srcdir/.clang-tidy" '{}' -- "$@" -Xclang -analyzer-config -Xclang max-nodes=20000 \
                >"$tmp/tidy" || return
        sed 's/\(: Potential leak .*\[clang-analyzer-unix\.Malloc\)\]$/\1.leak]/' "$tmp/tidy"
}

# findings TOOL: of what it said, the lines with a finding, from src/ or tests/ on, but for those accepted. Each stands once, however
# many files include the header that it is in. What gcc can't find the place of begins with the name of the compiler.
findings() {
        sed -n -e "s,^$srcdir/\([^:]*:[0-9]*:.*: \(warning\|error\): .*\]\)$,\1,p" \
                -e '/^cc1: \(warning\|error\): /p' "$tmp/said" | LC_ALL=C sort -u |
                awk -v tool="$1" -v accepted="$accepted" '
                BEGIN {
                        while ((getline line < accepted) > 0)
                                if (line !~ /^#/ && split(line, word, " ") > 3 && word[1] == tool) {
                                        sub(/\*$/, "", word[2])
                                        place[++n] = word[2]
                                        what[n] = word[3]
                                }
                }
                {
                        file = check = $0
                        sub(/:.*/, "", file)
                        sub(/\]$/, "", check)
                        sub(/.*\[(-W)?/, "", check)
                        for (i = 1; i <= n && !(what[i] == check && substr(file, 1, length(place[i])) == place[i]); i++)
                                ;
                        if (i > n)
                                print
                }'
}

: >lint.log
for tool in ${TOOLS:-gcc cppcheck clang-tidy}; do
        case $tool in
        gcc) command=$gcc run=run_gcc ;;
        cppcheck) command=cppcheck run=run_cppcheck ;;
        clang-tidy) command=clang-tidy run=run_clang_tidy ;;
        *) say "there is no $tool here"; exit 1 ;;
        esac
        if ! command -v "$command" >/dev/null; then
                say "skipped $tool: there is no $command (./bootstrap --ci installs it)"
                continue
        fi
        status=0
        $run "$@" >"$tmp/said" || status=$?
        cat "$tmp/said" >>lint.log
        findings "$tool" >"$tmp/findings"
        if [ -s "$tmp/findings" ]; then
                cat "$tmp/findings"
                say "$tool has found $(wc -l <"$tmp/findings"): more in lint.log"
                exit 1
        fi
        if [ $status != 0 ]; then
                tail -n 20 "$tmp/said" >&2
                say "$tool failed"
                exit 1
        fi
        echo "ok $tool, $(wc -l <"$tmp/files") files"
done
