#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
#   demo.sh BUILDDIR [RFCS]
#
# The main job on one machine, as the current user, without systemd: a registration server and three peers on loopback, on free ports, in a
# directory of their own. bob and carol hold documents (from the directory RFCS, else made up), alice holds none. alice fetches two: one that bob
# holds, and one of carol's that alice knows of through bob's index alone. Everything the four programs log is shown as it happens, with the
# heads of the messages they receive. "make demo" runs this.
set -eu

build=$1
rfcs=${2:-}
umask 022
dir=$(mktemp -d "${TMPDIR:-/tmp}/p2pdi-demo.XXXXXX")
rs= peers=

# The peers first: they say good bye to the registration server.
finish() {
        trap - EXIT INT TERM HUP
        for group in "$peers" "$rs"; do
                [ -z "$group" ] || kill $group 2>/dev/null || :
                for pid in $group; do wait "$pid" || :; done
        done
        wait
        rm -rf "$dir"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM HUP

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }

# start NAME PROGRAM: its log goes to the screen, each line with its name before it.
start() {
        mkdir -p "$dir/$1"
        mkfifo "$dir/$1/log"
        sed -u "s/^p2pdi-[a-z]*:/$(printf '%-5s' "$1") |/" <"$dir/$1/log" &
        "$build/$2" --config="$dir/$1.ini" --state-dir="$dir/$1/state" --runtime-dir="$dir/$1/run" 2>"$dir/$1/log" &
        pid=$!
}

# wait_for PID COMMAND...: until the command works; fails when the process has ended or after 5 s.
wait_for() {
        watched=$1
        shift
        tries=0
        until "$@" >/dev/null 2>&1; do
                kill -0 "$watched" 2>/dev/null && [ $tries -lt 100 ] || return 1
                tries=$((tries + 1))
                sleep 0.05
        done
}

ctl() {
        name=$1
        shift
        "$build/p2pdi-ctl" --control="$dir/$name/run/org.p2pdi.Peer" "$@"
}

# shown NAME VERB...: the command as a user would type it, and what it prints.
shown() {
        name=$1
        shift
        printf '%s$ p2pdi-ctl %s\n' "$name" "$*"
        ctl "$name" "$@"
}

registered() {
        ctl "$1" status --json=short | grep -q '"state":"registered"'
}

scanned() {
        ctl "$1" status --json=short | grep -q '"scanning":false'
}

# document NUMBER TITLE LINES: a plain synthetic document on stdout.
document() {
        awk -v number="$1" -v title="$2" -v lines="$3" 'BEGIN {
                printf "\n\n\n\nDemonstration Working Group                                     A. Nobody\n"
                printf "Synthetic: %-53s Nowhere\n\n\n", number
                printf "%*s\n\nAbstract\n\n", 36 + length(title) / 2, title
                for (i = 1; i <= lines; i++)
                        printf "   %4d  This line of document %d was made up for a demonstration.\n", i, number
        }'
}

give() {
        mkdir -p "$dir/bob/state/rfc" "$dir/carol/state/rfc"
        if [ -z "$rfcs" ]; then
                document 10101 "A Document That Bob Holds" 2000 >"$dir/bob/state/rfc/rfc10101.txt"
                document 10102 "Another Document That Bob Holds" 20 >"$dir/bob/state/rfc/rfc10102.txt"
                document 10201 "A Document That Carol Holds" 3000 >"$dir/carol/state/rfc/rfc10201.txt"
                of_bob=10101 of_carol=10201
                return
        fi
        of_bob= of_carol= turn=bob
        if [ ! -d "$rfcs" ]; then
                echo "demo: there is no directory $rfcs." >&2
                exit 1
        fi
        # At most 100, RFC 7230 among them if it is there: it is the one that everybody asks for.
        for name in rfc7230.txt $(ls "$rfcs" | grep '^rfc[1-9][0-9]*\.txt$' | grep -vx 'rfc7230\.txt' | head -n 99); do
                [ -f "$rfcs/$name" ] || continue
                cp "$rfcs/$name" "$dir/$turn/state/rfc/"
                number=${name%.txt}
                eval "[ -n \"\$of_$turn\" ] || of_$turn=${number#rfc}"
                [ $turn = bob ] && turn=carol || turn=bob
        done
        if [ -z "$of_carol" ]; then
                echo "demo: $rfcs holds fewer than two files rfcN.txt." >&2
                exit 1
        fi
}

say "one registration server and three peers"
give
port=$(( 20000 + $$ % 10000 ))
while :; do     # the next port where this one is taken
        printf '[Server]\nListenStream=127.0.0.1:%s\n[Log]\nLevel=debug\n' "$port" >"$dir/rs.ini"
        start rs p2pdi-rsd
        rs=$pid
        wait_for "$pid" "$build/p2pdi-ctl" --rs --control="$dir/rs/run/org.p2pdi.Registration" status && break
        rm -rf "$dir/rs"
        port=$((port + 1))
        [ $port -lt 32000 ] || { echo "demo: the registration server does not start." >&2; exit 1; }
done
# Nobody asks for an index unless told to, so that each step shows what it brings: in the background, which asks for own documents
# alone, alice may have had all that is new of bob before.
for name in alice bob carol; do
        printf '[Server]\nListenStream=127.0.0.1:auto\nMaxConnections=256\n[Registration]\nServer=127.0.0.1:%s\n' "$port" >"$dir/$name.ini"
        printf '[Index]\nPullIntervalSec=infinity\n[Log]\nLevel=debug\n' >>"$dir/$name.ini"
        start $name p2pdi-peerd
        peers="$peers $pid"
        wait_for "$pid" registered $name && wait_for "$pid" scanned $name || { echo "demo: $name does not start." >&2; exit 1; }
done

say "bob asks the others for their indexes, and so learns what carol holds"
shown bob refresh
bob=$(ctl bob status --json=short | sed 's/.*"listening":\["\([^"]*\)".*/\1/')

say "alice holds nothing, and asks bob alone"
shown alice refresh "$bob"
shown alice list
shown alice list --all
shown alice where "$of_carol"

say "alice gets RFC $of_bob from bob, and RFC $of_carol, of which only bob's index told"
shown alice get "$of_bob" "$of_carol"
shown alice list

say "are they the same?"
for pair in "bob $of_bob" "carol $of_carol"; do
        set -- $pair
        sha256sum "$dir/$1/state/rfc/rfc$2.txt" "$dir/alice/state/rfc/rfc$2.txt" | sed "s|$dir/||"
        cmp "$dir/$1/state/rfc/rfc$2.txt" "$dir/alice/state/rfc/rfc$2.txt"
done

say "good bye"
finish
echo
echo "byte-identical"
