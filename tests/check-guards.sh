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
# fails GUARD WORDS WHAT
fails() {
        status=0
        P2PDI_SRCDIR=$tree sh "$tests/$1" >"$tmp/said" 2>&1 || status=$?
        if [ $status = 77 ]; then
                echo "Skipped: $1, $3" >&2
        elif [ $status != 1 ] || ! grep -q -e "$2" "$tmp/said"; then
                say "$1 does not fail ($status) for $3:"
        fi
}
# plant FILE TEXT: appends; unplant FILE: as it was, or gone.
plant() { printf '%s\n' "$2" >>"$tree/$1"; }
unplant() { rm -f "$tree/$1"; [ ! -e "$srcdir/$1" ] || { cp "$srcdir/$1" "$tree/$1"; chmod u+w "$tree/$1"; }; }

# ---- layers ----
# layer FILE INCLUDE WORDS
layer() {
        plant "$1" "#include $2"
        fails check-layers.sh "$1.*$3" "$1 with $2"
        unplant "$1"
}
passes check-layers.sh
layer src/core/buf.h '"io/log.h"' 'must not include'
layer src/io/log.c '"rsd/rsd.h"' 'must not include'
layer src/rsd/serve.c '"peerd/serve.h"' 'must not include'
layer src/ctl/show.c '"rsd/rsd.h"' 'must not include'
layer src/generator/kmsg.c '"ctl/show.h"' 'must not include'
layer src/core/text.c '"core/proto.h"' 'not below'
layer src/core/rfc-index.c '"core/peer-list.h"' 'not below'
layer src/core/registrar.c '"core/peer-table.h"' 'internal to peer-list'
layer src/io/log.c '"log.h"' 'not written from src'
layer src/io/log.c '"../core/buf.h"' 'not written from src'
layer src/io/log.c '<core/buf.h>' 'with quotes'
layer src/core/new.c '<errno.h>' 'has no rank'
mkdir "$tree/src/new"
layer src/new/new.c '"core/buf.h"' 'no layer'
rmdir "$tree/src/new"

# ---- symbols of core: a library of one object ----
if command -v ar >/dev/null; then
        # symbols CODE WORDS WHAT
        symbols() {
                rm -f "$tmp/libcore.a" "$tmp/fault.o"
                printf '%s\n' "$1" >"$tmp/fault.c"
                # Unquoted: CC may have options.
                ${CC:-cc} -D_GNU_SOURCE -c "$tmp/fault.c" -o "$tmp/fault.o"
                ar rc "$tmp/libcore.a" "$tmp/fault.o"
                P2PDI_BUILDDIR=$tmp
                export P2PDI_BUILDDIR
                if [ -n "$2" ]; then
                        fails check-core-symbols.sh "$2" "$3"
                else
                        passes check-core-symbols.sh
                fi
        }
        symbols '#include <string.h>
                const char *const words[] = { "a", 0 };
                size_t f(const char *s);
                size_t f(const char *s) { return strlen(s) + strlen(words[0]); }' '' ''
        symbols '#include <time.h>
                time_t f(void);
                time_t f(void) { return time(NULL); }' 'uses time()' 'a clock'
        symbols '#include <stdio.h>
                void f(void);
                void f(void) { printf("%d", 1); }' 'uses printf()' 'stdio'
        symbols '#include <sys/socket.h>
                long f(void);
                long f(void) { return send(0, "", 0, 0); }' 'uses send()' 'a socket'
        symbols '#include <stdlib.h>
                void f(void);
                void f(void) { if (getenv("A")) exit(1); }' 'uses getenv()' 'the environment'
        symbols 'int f(void);
                int f(void) { static int n = 1; return n++; }' 'keeps a global: .*n' 'a global'
        symbols 'int n; int f(void);
                int f(void) { return n++; }' 'keeps a global: n' 'a global without a value'
fi

# ---- headers: few of them, and without what the build finds for the others ----
P2PDI_SRCDIR=$tmp/few
mkdir -p "$P2PDI_SRCDIR/src/core"
cp "$srcdir/src/core/base.h" "$srcdir/src/core/buf.h" "$P2PDI_SRCDIR/src/core"
chmod u+w "$P2PDI_SRCDIR/src/core"/*
P2PDI_BUILDDIR=$tmp P2PDI_CPPFLAGS=-I$P2PDI_SRCDIR/src
export P2PDI_BUILDDIR P2PDI_CPPFLAGS
tree=$P2PDI_SRCDIR
passes check-headers.sh
plant src/core/new.h 'Slice f(void);'
fails check-headers.sh 'new\.h' 'a header that needs another one before it'
rm "$tree/src/core/new.h"
plant src/core/new.h 'static int f(int a) { return 0; }'
fails check-headers.sh 'unused' 'a header with warnings'
rm "$tree/src/core/new.h"
tree=$tmp/tree P2PDI_BUILDDIR=$builddir

# ---- the tree, as in a tarball ----
# in_tree FILE TEXT WORDS
in_tree() {
        plant "$1" "$2"
        fails check-tree.sh "$3" "$1 with \"$2\""
        unplant "$1"
}
passes check-tree.sh
in_tree src/core/new.c 'int n;' 'no "SPDX'
in_tree src/core/new.c '/* SPDX-License-Identifier: BSD-2-Clause */' 'not named in Makefile'
mkdir -p "$tree/tests/unit"
in_tree tests/unit/test-new.c '/* SPDX-License-Identifier: BSD-2-Clause */' 'not named in Makefile'
in_tree man/new.7 'Request for Comm''ents: 1' 'text of an RFC'
in_tree src/io/log.c 'static const char version[] = "P2P-DI/1.0";' 'know the wire'
in_tree src/io/log.c 'static const char end[] = "a\r\n";' 'know the wire'
in_tree src/io/log.c '/* as seen in /home/somebody''/src */' 'machine'
in_tree src/io/log.c '/* see ../share''d/notes */' 'machine'
in_tree src/io/log.c '/* see protoco''l.md */' 'not in the tree'
in_tree src/io/log.c '/* TO''DO: all of it */' 'not finished'

# ---- what SECURITY.md says, and the tests that show it: those of the tree as it is ----
tree=$tmp/security
mkdir "$tree"
ln -s "$srcdir/tests" "$tree/tests"
cp "$srcdir/SECURITY.md" "$srcdir/Makefile.am" "$tree"
chmod u+w "$tree/SECURITY.md" "$tree/Makefile.am"
# security FILE SED WORDS WHAT
security() {
        sed "$2" "$srcdir/$1" >"$tree/$1"
        ! cmp -s "$srcdir/$1" "$tree/$1" || say "$4 was not planted:"
        fails check-security.sh "$3" "$4"
        unplant "$1"
}
passes check-security.sh
security SECURITY.md 's/::test_manifest_beats_all/::test_manifest_beats_many/' 'test_manifest_beats_many: it is not in that file' 'a test that is not there'
security SECURITY.md 's#unit/test-rate\.c#unit/test-rates.c#' 'there is no tests/unit/test-rates.c' 'a file that is not there'
security Makefile.am 's#tests/system/test_trust\.py##' 'Makefile.am does not run it' 'a test that is never run'
security SECURITY.md '/^| T13 |/d' 'does not have one row' 'a threat without a row'
security SECURITY.md '/^| T13 |/d' 'is not in the table' 'a sentence that names a threat without a row'
security SECURITY.md '/^| T6 |/s/|[^|]*|$/| soon |/' 'names no test' 'a threat without a test'
security SECURITY.md 's/^\(- It can not guess a cookie\.\).*/\1/' 'does not end in tests' 'a sentence without a test'
security SECURITY.md 's/^- It can not guess a cookie\./& Nor anything else./' 'several sentences' 'two sentences with one test'
security SECURITY.md 's/^## The model$/## Model/' 'The model is not there' 'a model that is not found'
tree=$tmp/tree

# ---- the catalog of messages ----
# catalog SED WORDS WHAT
catalog() {
        sed "$1" "$srcdir/systemd/p2pdi.catalog" >"$tree/systemd/p2pdi.catalog"
        fails check-catalog.sh "$2" "$3"
        unplant systemd/p2pdi.catalog
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
        sed "$2" "$srcdir/$1" >"$tree/$1"
        fails check-debian.sh "$3" "$4"
        unplant "$1"
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
                sed "$2" "$srcdir/$1" >"$tree/$1"
                fails check-man.sh "$3" "$4"
                unplant "$1"
        }
        passes check-man.sh
        page man/p2pdi-rsd.8 '/SPDX/d' 'SPDX' 'a page without licence'
        page man/p2pdi-rsd.8 's/^\.It Fl -check-config/.It Fl -check/' 'check-config' 'an option that is not in the page'
        page man/p2pdi-ctl.1 's/^\.It Cm where /.It Cm whence /' 'whence' 'a verb that does not exist'
        page man/p2pdi-journal-fields.7 's/P2PDI_EPOCH/P2PDI_EPOQUE/' 'P2PDI_EPOQUE' 'a field that no entry has'
        page man/p2pdi-ctl.1 's/^\.It Cm where Ar rfc/& .../' 'tells of verb where RFC…' 'an argument that a verb does not take'
        page man/p2pdi-ctl.1 's/^\.It Cm list Oo Fl -all Oc/.It Cm list/' 'lacks option of a verb, list --all' 'an option of a verb that is not in the page'
        page man/p2pdi-ctl.1 's/^\.It Ev SYSTEMD_LESS$/.It Ev LESS/' 'environment variable SYSTEMD_LESS' 'an environment variable that is not in the page'
        page man/p2pdi-ctl.1 '/^\.It 10 Ta/d' 'exit' 'an exit status that is not in the page'
        page man/p2pdi-peerd.8 's/49fcaa67/49fcaa68/' 'lacks MESSAGE_ID 49fcaa67' 'a MESSAGE_ID that is not in a page'
        page man/p2pdi-rsd.8 '/^\.It Va p2pdi_rs_leaves_total /d' 'lacks metric p2pdi_rs_leaves_total counter' 'a metric that is not in its page'
        page man/p2pdi-rsd.8 's/^\.It Va p2pdi_rs_peers Pq gauge/.It Va p2pdi_rs_peers Pq counter/' 'metric p2pdi_rs_peers counter, which' 'a metric of another type'
        page man/p2pdi-peerd.8 's/^\.Ql too-slow ,/.Ql slow ,/' 'metric p2pdi_peer_index_pulls_total result=slow, which' 'a value that a label does not have'
        page man/p2pdi-peerd.8 's/^\.Xr peer\.ini 5/.Xr peers.ini 5/' 'peers.ini' 'a reference to a page that does not exist'
        page man/p2pdi-protocol.7 's/^\.It 416 Ta/.It 417 Ta/' 'lacks status code 416' 'a status code that is not in the page'
        page man/p2pdi-protocol.7 's/^\.It 412 Ta/.It 417 Ta/' 'lacks HTTP status code 412' 'one of HTTP that is not in the page'
        if [ "${MANDOC:-mandoc}" != no ] && command -v "${MANDOC:-mandoc}" >/dev/null; then
                page man/p2pdi-rsd.8 's/^\.Sh SIGNALS/.Sj SIGNALS/' 'mandoc' 'a page with an unknown macro'
        fi
fi
exit $failed
