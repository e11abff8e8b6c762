#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Everything that this tree can be asked, one after the other, in forty minutes at most on two idle CPUs: a line for each, and the output of what failed.
# "make check-all" runs it, in the build directory. Its last line is "N passed, N failed".
# What needs other builds (sanitizers, libFuzzer, clang, packages) is in .ci/run.
set -u
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# step NAME COMMAND...
step() {
        local name=$1 begin=$SECONDS note
        shift
        if "$@" >"$log" 2>&1 </dev/null; then
                passed=$((passed + 1))
                note=$(grep -ciE '^skip|[0-9]+ skipped' "$log")
                echo "ok      $name ($((SECONDS - begin)) s$([ "$note" = 0 ] || echo ", with skips"))"
        else
                failed=$((failed + 1))
                echo "FAILED  $name ($((SECONDS - begin)) s)"
                tail -n 100 "$log"
        fi
}

jobs=$(nproc)
make=${MAKE:-make}
step "make check" "$make" -s -j"$jobs" check
step "make lint: three analyzers" "$make" -s lint
step "make check-sim: hours of virtual time" "$make" -s check-sim
step "make check-slow-disk" "$make" -s check-slow-disk
step "make check-boot: under a real systemd" "$make" -s check-boot
step "make check-net: hosts in network namespaces" "$make" -s check-net
step "make check-kill KILLS=40" "$make" -s check-kill KILLS=40
step "make check-faults: one call after the other fails" "$make" -s check-faults
step "make fuzz-daemon SECONDS=60" "$make" -s fuzz-daemon SECONDS=60
step "make soak MINUTES=1" "$make" -s soak MINUTES=1

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
