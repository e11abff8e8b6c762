#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
#   playground.sh BUILDDIR RFCS
#
# A shell beside a registration server and three running peers, to try things by hand: on loopback, as the current user, without systemd, in a
# directory of their own that is removed when the shell ends. Each peer has an address of its own, so that what two of them state is agreed on. The
# documents of the directory RFCS (and the rfc-index.txt in or beside it) are dealt out unevenly, in the order of their numbers: bob gets the first two thirds and
# the index, carol the second half, alice nothing. Commands may also come from a pipe. "make playground RFCS=DIR" runs this.
set -eu

build=$1
rfcs=${2:-}
umask 022
port=65433      # of the range that the defaults are from, beside those of an installed daemon

fail() { echo "playground: $*" >&2; exit 1; }

[ -n "$rfcs" ] || fail "say which directory has rfcN.txt: make playground RFCS=DIR"
[ -d "$rfcs" ] || fail "there is no directory $rfcs."
mapfile -t names < <(cd "$rfcs" && find . -maxdepth 1 -type f -name 'rfc[1-9]*.txt' -printf '%f\n' | grep -x 'rfc[0-9]*\.txt' | sort -V)
n=${#names[@]}
[ "$n" -ge 3 ] || fail "$rfcs holds fewer than three files rfcN.txt."

rfcs=$(cd "$rfcs" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/p2pdi-playground.XXXXXX")
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'trap - EXIT; cd "$dir"; for name in alice bob carol rs; do stop $name; done; rm -rf "$dir"' EXIT

# What the shell knows, and this script uses as well.
cat >"$dir/env" <<END
PATH=$(printf %q "$build"):\$PATH
cd $(printf %q "$dir")
END
cat >>"$dir/env" <<'END'
alice() { p2pdi-ctl --control=alice/run/org.p2pdi.Peer "$@"; }
bob() { p2pdi-ctl --control=bob/run/org.p2pdi.Peer "$@"; }
carol() { p2pdi-ctl --control=carol/run/org.p2pdi.Peer "$@"; }
rs() { p2pdi-ctl --rs --control=rs/run/org.p2pdi.Registration "$@"; }

# start NAME: a daemon, its log at the end of NAME.log; comes back when it can be asked.
start() {
        local program=p2pdi-peerd
        [ "$1" = rs ] && program=p2pdi-rsd
        "$program" --config="$1.ini" --state-dir="$1" --runtime-dir="$1/run" 2>>"$1.log" &
        echo $! >"$1.pid"
        disown
        until "$1" status 2>/dev/null | grep -q '^ *Listening:' && ! "$1" status --json=short | grep -q '"scanning":true'; do
                if ! kill -0 "$(cat "$1.pid")" 2>/dev/null; then
                        tail -n 1 "$1.log" >&2
                        return 1
                fi
                sleep 0.02
        done
}

# stop NAME: it says good bye to the others, and ends.
stop() {
        local pid
        pid=$(cat "$1.pid" 2>/dev/null) || return 0
        kill "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null && tail --pid="$pid" -s 0.02 -f /dev/null
        rm -f "$1.pid"
}

# reload NAME: takes in what was written to NAME.ini.
reload() {
        local n
        n=$(grep -c 'onfiguration' "$1.log")
        kill -HUP "$(cat "$1.pid")"
        while [ "$(grep -c 'onfiguration' "$1.log")" -eq "$n" ]; do sleep 0.02; done
}
END
. "$dir/env"

deal() {        # deal PEER FROM TO
        mkdir -p "$1/rfc"
        for name in "${names[@]:$2:$3-$2}"; do cp "$rfcs/$name" "$1/rfc/"; done
}
deal bob 0 $((n * 2 / 3))
deal carol $((n / 2)) "$n"
for index in "$rfcs/rfc-index.txt" "$rfcs/../rfc-index.txt"; do
        if [ -f "$index" ]; then
                cp "$index" bob/rfc/
                break
        fi
done

printf '[Server]\nListenStream=127.0.0.1:%s\n' $port >rs.ini
start rs || fail "the registration server does not start."
for name in bob carol alice; do
        case $name in bob) address=127.0.0.2 ;; carol) address=127.0.0.3 ;; alice) address=127.0.0.1 ;; esac
        printf '[Server]\nListenStream=%s:%s\n[Registration]\nServer=127.0.0.1:%s\n' $address $((port + 1)) $port >$name.ini
        start $name || fail "$name does not start."
done
alice refresh >/dev/null || fail "alice does not find the others."
tries=0         # the index of the RFC Editor comes from bob a moment later
while [ -f bob/rfc/rfc-index.txt ] && [ $tries -lt 100 ] && ! alice status --json=short | grep -q '"metadata'; do
        tries=$((tries + 1))
        sleep 0.05
done

if [ -t 0 ]; then
        echo "rs, bob, carol and alice run in $dir; each of these words is p2pdi-ctl for that daemon: try \"alice list --all\"."
        echo "\"stop bob\", \"start bob\" and \"reload bob\" (after a change of bob.ini) do what they say; the log is in bob.log. \"exit\" ends it all."
        PS1='playground$ ' bash --rcfile "$dir/env" -i || :
else
        BASH_ENV="$dir/env" bash
fi
