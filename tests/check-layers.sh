#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Arrows only go down: every quoted include of src/ against the table of layers, and inside core against the ranks of its modules.
#
#   P2PDI_SRCDIR: the source tree.
#
# A module of core is one header that others may include (rfc-index.h) and what it keeps to itself (index-table.h). Outside its own module a
# core file includes only main headers of lower rank. A file that the table does not know is an error: give it a place.
set -eu

srcdir=${P2PDI_SRCDIR:-${srcdir:-.}}
cd "$srcdir/src"
# Two words of grep's: with /dev/null it always names the file.
find . -name '*.[ch]' | LC_ALL=C sort | sed 's,^\./,,' | xargs grep -n '^[[:space:]]*#[[:space:]]*include' /dev/null | LC_ALL=C awk '
BEGIN {
        # Layer: the layers that it may include, beside itself.
        may["core"] = " "
        may["io"] = " core "
        may["rsd"] = may["peerd"] = may["ctl"] = may["generator"] = " core io "

        # Core: each module, by the name of its main header, with its rank. One a line, so that two who add one do not meet.
        rank["base"] = 1
        rank["buf"] = 2
        rank["evict"] = 2
        rank["grade"] = 2
        rank["text"] = 3
        rank["address"] = 4
        rank["metrics"] = 4
        rank["msg"] = 4
        rank["rfc-number"] = 4
        rank["search"] = 4
        rank["rate"] = 5
        rank["history"] = 5
        rank["manifest"] = 5
        rank["proto"] = 6
        rank["rfc-meta"] = 7
        rank["follow"] = 8
        rank["holders"] = 8
        rank["http"] = 8
        rank["membership"] = 8
        rank["page"] = 8
        rank["peer-list"] = 8
        rank["pull-plan"] = 8
        rank["rfc-index"] = 8
        rank["registrar"] = 9
        rank["trust"] = 9
        rank["editor-index"] = 10
        rank["lookup"] = 10
        rank["replicate"] = 10

        # Files that belong to a module of another name.
        owner["http-date"] = "http"
        owner["http-reply"] = "http"
        owner["lookup-internal"] = "lookup"
        owner["lookup-pick"] = "lookup"
        owner["peer-changes"] = "peer-list"
        owner["peer-days"] = "peer-list"
        owner["peer-order"] = "peer-list"
        owner["peer-sample"] = "peer-list"
        owner["peer-set"] = "peer-list"
        owner["peer-sources"] = "peer-list"
        owner["peer-table"] = "peer-list"
        owner["peer-terms"] = "peer-list"
        owner["proto-fields"] = "proto"
        owner["proto-lines"] = "proto"
        owner["proto-reply"] = "proto"
        owner["index-bounds"] = "rfc-index"
        owner["index-delta"] = "rfc-index"
        owner["index-due"] = "rfc-index"
        owner["index-encode"] = "rfc-index"
        owner["index-merge-internal"] = "rfc-index"
        owner["index-merge-lines"] = "rfc-index"
        owner["index-merge"] = "rfc-index"
        owner["index-source"] = "rfc-index"
        owner["index-store"] = "rfc-index"
        owner["index-table"] = "rfc-index"
        owner["rfc-index-internal"] = "rfc-index"
        owner["rfc-meta-entry"] = "rfc-meta"
        owner["rfc-meta-internal"] = "rfc-meta"
        owner["rfc-title"] = "rfc-meta"
}
function fail(why) {
        printf "src/%s:%s: %s\n", file, line, why
        bad = 1
}
# Module of a core file, "" if it has no place.
function module(path,    m) {
        m = path
        sub(/^core\//, "", m)
        sub(/\.[ch]$/, "", m)
        if (m in owner)
                m = owner[m]
        return m in rank ? m : ""
}
{
        file = $0
        sub(/:.*/, "", file)
        line = substr($0, length(file) + 2)
        sub(/:.*/, "", line)
        what = $0
        sub(/^[^#]*#[[:space:]]*include[[:space:]]*/, "", what)

        layer = file
        sub(/\/.*/, "", layer)
        if (!(layer in may)) {
                fail("no layer is called \"" layer "\"")
                next
        }
        seen[layer] = 1
        # A core file without a rank is told once, even if it includes nothing but system headers.
        if (layer == "core" && module(file) == "" && !told[file]++)
                fail("has no rank in this check")

        if (what ~ /^</) {
                sub(/^</, "", what)
                sub(/[>\/].*/, "", what)
                if (what in may)
                        fail("our own headers are included with quotes")
                next
        }
        if (what !~ /^"/) {
                fail("the include can not be read")
                next
        }
        sub(/^"/, "", what)
        sub(/".*/, "", what)
        target = what
        sub(/\/.*/, "", target)
        if (!(target in may) || what ~ /\.\./ || what == target) {
                fail("\"" what "\" is not written from src/")
                next
        }
        if (target != layer && index(may[layer], " " target " ") == 0)
                fail(layer " must not include \"" what "\"")
        if (what !~ /\.h$/)
                fail("\"" what "\" is not a header")
        if (layer != "core" || target != "core") {
                if (target == "core" && layer != "core" && what ~ /-internal\.h$/)
                        fail("\"" what "\" is internal to core")
                next
        }

        from = module(file)
        to = module(what)
        if (from == "" || to == "" || from == to) {
                if (to == "")
                        fail("\"" what "\" has no rank in this check")
                next
        }
        if (what != "core/" to ".h")
                fail("\"" what "\" is internal to " to)
        else if (rank[to] >= rank[from])
                fail("\"" what "\" is not below " from)
}
END {
        # Nothing read is nothing proved.
        if (!seen["core"] || !seen["io"]) {
                print "check-layers.sh: found no sources of core and io."
                exit 1
        }
        if (bad)
                print "check-layers.sh: see the table in this script for what may include what."
        exit bad
}' >&2
