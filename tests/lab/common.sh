# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

# What the private servers of the tests share; sourced, never run.
#
# A lab is a folder with the file `.lab` in it. Every process of a lab carries VIRTJOB_LAB=<folder> in its environment,
# or sees a mount whose name follows from the folder: so `down` finds all of them, after a crash as well.

export LC_ALL=C
export PATH="$PATH:/usr/sbin:/sbin"

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# lab_name DIR: a short name that is the same for the same folder, for what is global on the machine.
lab_name() {
    printf 'vj%s' "$(printf %s "$1" | md5sum | cut -c1-8)"
}

# lab_claim DIR: makes the folder a lab of its own; a folder that holds something already is refused.
lab_claim() {
    [[ ! -e $1/.lab ]] || die "$1 is up already; '${0##*/} down $1' removes it"
    [[ ! -d $1 || -z $(ls -A "$1") ]] || die "$1 is not empty"
    mkdir -p "$1"
    : >"$1/.lab"
    chmod 755 "$1"
}

# lab_forget DIR: removes the folder of a lab, and nothing that is not one.
lab_forget() {
    [[ -e $1 ]] || return 0
    [[ -e $1/.lab ]] || die "$1 is not a lab: left as it is"
    rm -rf --one-file-system "$1"
}

# lab_pids DIR: the processes started for this lab.
lab_pids() {
    # A process may end under the search, which is no failure.
    { grep -slzFx -- "VIRTJOB_LAB=$1" /proc/[0-9]*/environ || true; } | cut -d/ -f3
}

# wait_until SECONDS COMMAND...: 1 when the command has not succeeded in that time.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

gone() {
    [[ -z $("$@") ]]
}

# end_all PIDS-COMMAND...: asks all processes that the command names to end, and kills what has not after 5 seconds.
end_all() {
    local pids
    pids=$("$@") || true
    [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086
    kill $pids 2>/dev/null || true
    wait_until 5 gone "$@" && return
    pids=$("$@") || true
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    wait_until 5 gone "$@" || die "these processes do not end: $("$@" | tr '\n' ' ')"
}

# free_ports N: N ports of the loopback interface, below those the kernel gives to outgoing connections: a port stays
# free while its server is stopped for a while.
free_ports() {
    /usr/bin/python3 - "$1" <<'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(20000, 32000)))
        held.append(s)
    except OSError:
        s.close()
print(*(s.getsockname()[1] for s in held))
PYTHON
}
