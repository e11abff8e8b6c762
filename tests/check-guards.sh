#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Who guards the guards: plants one fault after the other in a copy, and sees that the guard that is there for it fails, and with the right words.
#
#   P2PDI_SRCDIR, P2PDI_BUILDDIR, CC, NM, MANDOC: as for the guards.
set -eu

srcdir=$(cd "${P2PDI_SRCDIR:-${srcdir:-.}}" && pwd)
builddir=$(cd "${P2PDI_BUILDDIR:-.}" && pwd)
tests=$srcdir/tests
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
failed=0
tree=$tmp/tree

# Copies of what the guards read; a distributed tree may be read-only.
mkdir "$tree"
cp -R "$srcdir/src" "$srcdir/man" "$srcdir/systemd" "$srcdir/debian" "$srcdir/bootstrap" "$srcdir/configure.ac" "$srcdir/Makefile.am" "$tree"
chmod -R u+w "$tree"
git -C "$tree" rev-parse >/dev/null 2>&1 && { echo "$tmp is inside of a git checkout: set TMPDIR." >&2; exit 77; }

say() {
        echo "$1" >&2
        sed 's/^/        /' "$tmp/said" >&2
        failed=1
}
# passes GUARD: without a fault it must.
passes() {
        status=0
        P2PDI_SRCDIR=$tree sh "$tests/$1" >"$tmp/said" 2>&1 || status=$?
        [ $status = 0 ] || [ $status = 77 ] || say "$1 fails ($status) where nothing is wrong:"
}
# plant FILE TEXT: appends. edit FILE SED: changes it. Both until the next "fails".
plant() {
        printf '%s\n' "$2" >>"$tree/$1"
        echo "$1" >>"$tmp/planted"
}
edit() {
        sed "$2" "$tree/$1" >"$tmp/edited"
        if cmp -s "$tmp/edited" "$tree/$1"; then
                echo "$1 has no place for $2." >&2
                failed=1
        fi
        cat "$tmp/edited" >"$tree/$1"
        echo "$1" >>"$tmp/planted"
}
# expect WORDS WHAT: of a fault that was planted. A guard tells of all that it finds, so many faults take one run; they need words of their own.
expect() { printf '%s\t%s\n' "$1" "$2" >>"$tmp/expected"; }
# fails GUARD: for what was planted since the last time, which is as it was, or gone, behind it.
fails() {
        status=0
        P2PDI_SRCDIR=$tree sh "$tests/$1" >"$tmp/said" 2>&1 || status=$?
        while IFS='	' read -r words what; do
                if [ $status = 77 ]; then
                        echo "Skipped: $1, $what" >&2
                elif [ $status != 1 ] || ! grep -q -e "$words" "$tmp/said"; then
                        say "$1 does not fail ($status) for $what:"
                fi
        done <"$tmp/expected"
        rm "$tmp/expected"
        [ ! -e "$tmp/planted" ] || while read -r file; do
                rm -f "$tree/$file"
                [ ! -e "$srcdir/$file" ] || { cp "$srcdir/$file" "$tree/$file"; chmod u+w "$tree/$file"; }
        done <"$tmp/planted"
        rm -f "$tmp/planted"
}

# ---- layers ----
# layer FILE INCLUDE WORDS
layer() {
        plant "$1" "#include $2"
        expect "$1.*$3" "$1 with $2"
}
passes check-layers.sh
layer src/core/buf.h '"io/log.h"' 'must not include "io/log.h"'
layer src/io/log.c '"rsd/rsd.h"' 'must not include "rsd/rsd.h"'
layer src/rsd/serve.c '"peerd/serve.h"' 'must not include "peerd/serve.h"'
layer src/ctl/show.c '"rsd/rsd.h"' 'must not include "rsd/rsd.h"'
layer src/generator/kmsg.c '"ctl/show.h"' 'must not include "ctl/show.h"'
layer src/core/text.c '"core/proto.h"' '"core/proto.h" is not below'
layer src/core/rfc-index.c '"core/peer-list.h"' '"core/peer-list.h" is not below'
layer src/core/registrar.c '"core/peer-table.h"' '"core/peer-table.h" is internal to peer-list'
layer src/io/log.c '"log.h"' '"log.h" is not written from src'
layer src/io/log.c '"../core/buf.h"' '"../core/buf.h" is not written from src'
layer src/io/log.c '<core/buf.h>' 'with quotes'
layer src/core/new.c '<errno.h>' 'has no rank'
mkdir "$tree/src/new"
layer src/new/new.c '"core/buf.h"' 'no layer'
fails check-layers.sh
rmdir "$tree/src/new"

# ---- symbols of core: a library of one object ----
if command -v ar >/dev/null; then
        # library: of what it reads.
        library() {
                rm -f "$tmp/libcore.a" "$tmp/fault.o"
                cat >"$tmp/fault.c"
                # Unquoted: CC may have options.
                ${CC:-cc} -D_GNU_SOURCE -c "$tmp/fault.c" -o "$tmp/fault.o"
                ar rc "$tmp/libcore.a" "$tmp/fault.o"
        }
        P2PDI_BUILDDIR=$tmp
        export P2PDI_BUILDDIR
        library <<'EOC'
#include <string.h>
const char *const words[] = { "a", 0 };
size_t f(const char *s);
size_t f(const char *s) { return strlen(s) + strlen(words[0]); }
EOC
        passes check-core-symbols.sh
        library <<'EOC'
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
int n, f(void);
int f(void) {
        static int m = 1;
        printf("%d", (int) time(NULL));
        if (getenv("A") && send(0, "", 0, 0) < 0)
                exit(1);
        return m++ + n++;
}
EOC
        expect 'uses time()' 'a clock'
        expect 'uses printf()' 'stdio'
        expect 'uses send()' 'a socket'
        expect 'uses getenv()' 'the environment'
        expect 'uses exit()' 'an end'
        # gcc calls that m.0, clang f.m.
        expect 'in .data.' 'a global in a function'
        expect 'keeps a global: n in .bss' 'a global without a value'
        fails check-core-symbols.sh
fi

# ---- headers: few of them, and without what the build finds for the others ----
P2PDI_SRCDIR=$tmp/few
mkdir -p "$P2PDI_SRCDIR/src/core"
cp "$srcdir/src/core/base.h" "$srcdir/src/core/buf.h" "$P2PDI_SRCDIR/src/core"
P2PDI_BUILDDIR=$tmp P2PDI_CPPFLAGS=-I$P2PDI_SRCDIR/src
export P2PDI_BUILDDIR P2PDI_CPPFLAGS
tree=$P2PDI_SRCDIR
passes check-headers.sh
plant src/core/new.h 'Slice f(void);'
expect 'new\.h.*Slice' 'a header that needs another one before it'
plant src/core/newer.h 'static int f(int a) { return 0; }'
expect 'newer\.h.*unused' 'a header with warnings'
fails check-headers.sh
tree=$tmp/tree P2PDI_BUILDDIR=$builddir

# ---- the tree, as in a tarball ----
# in_tree FILE TEXT WORDS: each complaint is told once, for all files, so that each time another one is to be seen.
in_tree() {
        plant "$1" "$2"
        expect "$3" "$1 with \"$2\""
}
passes check-tree.sh
in_tree src/core/new.c 'int n;' 'no "SPDX'
in_tree man/new.7 'Request for Comm''ents: 1' 'text of an RFC'
in_tree src/io/log.c 'static const char version[] = "P2P-DI/1.0";' 'know the wire'
in_tree src/io/log.c '/* as seen in /home/somebody''/src */' 'machine'
in_tree src/io/log.c '/* see protoco''l.md */' 'not in the tree'
in_tree src/io/log.c '/* TO''DO: all of it */' 'not finished'
fails check-tree.sh
in_tree src/core/new.c '/* SPDX-License-Identifier: BSD-2-Clause */' 'not named in Makefile'
in_tree src/io/log.c 'static const char end[] = "a\r\n";' 'know the wire'
in_tree src/io/log.c '/* see ../share''d/notes */' 'machine'
fails check-tree.sh
mkdir -p "$tree/tests/unit"
in_tree tests/unit/test-new.c '/* SPDX-License-Identifier: BSD-2-Clause */' 'not named in Makefile'
fails check-tree.sh

# ---- what SECURITY.md says, and the tests that show it: those of the tree as it is ----
tree=$tmp/security
mkdir "$tree"
ln -s "$srcdir/tests" "$tree/tests"
cp "$srcdir/SECURITY.md" "$srcdir/Makefile.am" "$tree"
chmod u+w "$tree/SECURITY.md" "$tree/Makefile.am"
# security FILE SED WORDS WHAT
security() {
        edit "$1" "$2"
        expect "$3" "$4"
}
passes check-security.sh
security SECURITY.md 's/::test_manifest_beats_all/::test_manifest_beats_many/' 'test_manifest_beats_many: it is not in that file' 'a test that is not there'
security SECURITY.md 's#unit/test-rate\.c#unit/test-rates.c#' 'there is no tests/unit/test-rates.c' 'a file that is not there'
security Makefile.am 's#tests/system/test_hedge\.py##' 'test_hedge.*Makefile.am does not run it' 'a test that is never run'
security SECURITY.md '/^| T13 |/d' 'does not have one row' 'a threat without a row'
expect 'is not in the table' 'a sentence that names a threat without a row'
security SECURITY.md '/^| T6 |/s/|[^|]*|$/| soon |/' 'names no test' 'a threat without a test'
security SECURITY.md 's/^\(- It can not guess a cookie\.\).*/\1/' 'does not end in tests' 'a sentence without a test'
security SECURITY.md 's/^- It can not cut off those who know each other by being silent\./& Nor anything else./' 'several sentences' 'two sentences with one test'
fails check-security.sh
security SECURITY.md 's/^## The model$/## Model/' 'The model is not there' 'a model that is not found'
fails check-security.sh
tree=$tmp/tree

# ---- the catalog of messages ----
# catalog SED WORDS WHAT
catalog() {
        edit systemd/p2pdi.catalog "$1"
        expect "$2" "$3"
        fails check-catalog.sh
}
passes check-catalog.sh
catalog 's/^-- 49fcaa67/-- 49fcaa68/' '49fcaa67.* has no entry' 'an event without an entry'
catalog 's/^-- 49fcaa677dc44a8692c0d373b0af1257/-- 476f91dac0d14336b2d4d3b4eace5326/' '476f91da.* has two entries' 'an entry for an event that has one'
catalog 's/^-- 49fcaa67/-- 49FCAA67/' 'no head of an entry' 'an id in capitals'
catalog '0,/@MESSAGE@/s//@P2PDI_RFC@/' 'can not be filled in' 'a field with a digit'
catalog '0,/^Subject:.*/s///' 'lacks its Subject' 'an entry without a subject'

# ---- the Debian package ----
# debian FILE SED WORDS WHAT
debian() {
        edit "$1" "$2"
        expect "$3" "$4"
        fails check-debian.sh
}
passes check-debian.sh
debian configure.ac 's/^AC_INIT(\[p2pdi\], \[/&9/' 'says version "9' 'another version'
debian debian/rules 's/p2pdi-rsd-control\.socket//' 'does not name p2pdi-rsd-control.socket' 'a unit that debhelper is not told of'
debian debian/prerm "s/'p2pdi-peerd@\*\.socket'//" 'instances of p2pdi-peerd@.socket' 'instances that go on without the package'
debian bootstrap 's/libsqlite3-dev//' 'libsqlite3-dev' 'a package that bootstrap does not install'

# ---- manual pages ----
if [ -x "$builddir/p2pdi-rsd" ]; then
        # page FILE SED WORDS WHAT
        page() {
                edit "$1" "$2"
                expect "$3" "$4"
        }
        passes check-man.sh
        page man/p2pdi-rsd.8 '/SPDX/d' 'p2pdi-rsd.8 has no SPDX' 'a page without licence'
        page man/p2pdi-rsd.8 's/^\.It Fl -check-config/.It Fl -check/' 'p2pdi-rsd.8 lacks option --check-config' 'an option that is not in the page'
        page man/p2pdi-ctl.1 's/^\.It Cm where /.It Cm whence /' 'tells of verb whence' 'a verb that does not exist'
        page man/p2pdi-journal-fields.7 's/P2PDI_EPOCH/P2PDI_EPOQUE/' 'tells of field P2PDI_EPOQUE' 'a field that no entry has'
        page man/p2pdi-ctl.1 's/^\.It Ev SYSTEMD_LESS$/.It Ev LESS/' 'environment variable SYSTEMD_LESS' 'an environment variable that is not in the page'
        page man/p2pdi-ctl.1 '/^\.It 10 Ta/d' 'lacks exit status 10' 'an exit status that is not in the page'
        page man/p2pdi-peerd.8 's/49fcaa67/49fcaa68/' 'lacks MESSAGE_ID 49fcaa67' 'a MESSAGE_ID that is not in a page'
        page man/p2pdi-rsd.8 '/^\.It Va p2pdi_rs_leaves_total /d' 'lacks metric p2pdi_rs_leaves_total counter' 'a metric that is not in its page'
        page man/p2pdi-rsd.8 's/^\.It Va p2pdi_rs_peers Pq gauge/.It Va p2pdi_rs_peers Pq counter/' 'metric p2pdi_rs_peers counter, which' 'a metric of another type'
        page man/p2pdi-peerd.8 's/^\.Ql too-slow ,/.Ql slow ,/' 'metric p2pdi_peer_index_pulls_total result=slow, which' 'a value that a label does not have'
        page man/p2pdi-peerd.8 's/^\.Xr peer\.ini 5/.Xr peers.ini 5/' 'refers to peers.ini' 'a reference to a page that does not exist'
        page man/p2pdi-protocol.7 's/^\.It 416 Ta/.It 417 Ta/' 'lacks status code 416' 'a status code that is not in the page'
        page man/p2pdi-protocol.7 's/^\.It 412 Ta/.It 417 Ta/' 'lacks HTTP status code 412' 'one of HTTP that is not in the page'
        if [ "${MANDOC:-mandoc}" != no ] && command -v "${MANDOC:-mandoc}" >/dev/null; then
                page man/p2pdi-rsd.8 's/^\.Sh SIGNALS/.Sj SIGNALS/' 'unknown macro: \.Sj' 'a page with an unknown macro'
        fi
        fails check-man.sh
        page man/p2pdi-ctl.1 's/^\.It Cm where Ar rfc/& .../' 'tells of verb where RFC…' 'an argument that a verb does not take'
        page man/p2pdi-ctl.1 's/^\.It Cm list Oo Fl -all Oc/.It Cm list/' 'lacks option of a verb, list --all' 'an option of a verb that is not in the page'
        fails check-man.sh
fi
exit $failed
