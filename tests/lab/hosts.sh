# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

# Private libvirt hosts; sourced by `libvirtd` and `two-hosts` after common.sh, with $dir, $lab and $here set.
#
# A host is a process that does nothing but hold a network, a mount and a host-name namespace; libvirtd is started into
# them, so that it can be stopped and started while its guests go on. In there /run, /etc/libvirt and libvirt's folders
# under /var are folders of the lab: no D-Bus, hence no machined and no polkit of the system. Namespaces have no names
# on the machine; the processes of a host are known by a small file system that carries the lab's name. Guests run in
# emulation, everywhere alike: /dev/kvm is hidden, and so is an emulator that libvirtd would probe for seconds in vain.

host_uri() {
    echo "qemu+unix:///system?socket=$dir/$1/run/libvirt/libvirt-sock"
}

# host_pids HOST [COMM]: everything that runs in it, guests included; or only what has that name.
host_pids() {
    local pid
    for pid in $({ grep -slF -- " tmpfs $lab-$1 " /proc/[0-9]*/mountinfo || true; } | cut -d/ -f3); do
        [[ -z ${2:-} || $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]] && echo "$pid"
    done
    return 0
}

# host_run HOST COMMAND...: in the namespaces of the host; replaces the (sub)shell.
host_run() {
    local holder
    holder=$(cat "$dir/$1/holder.pid" 2>/dev/null) && [[ -d /proc/$holder ]] || die "$1 is not up"
    VIRTJOB_LAB=$dir exec nsenter --target "$holder" --net --mount --uts -- "${@:2}"
}

# The system's own settings are the base, as an operator has them; what follows is what differs, and why.
host_configure() {
    local root=$dir/$1
    mkdir -p "$root"/{etc,lib,run,log,cache}
    cp -a /etc/libvirt/. "$root/etc/"
    rm -rf "$root"/etc/qemu/*
    # The file handler lets QEMU write consoles itself: no virtlogd. Without controllers no cgroup is left by a kill.
    # QEMU in a mount namespace of its own would stumble over the hidden /dev/kvm.
    cat >"$root/etc/qemu.conf" <<'CONF'
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
hugetlbfs_mount = []
CONF
    cat >"$root/etc/libvirtd.conf" <<CONF
listen_tls = 0
listen_tcp = 0
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
CONF
}

# host_new HOST [ADDRESS]: the namespaces, up to a holder that stays. With an address, libvirtd listens on TCP there.
host_new() {
    local address=${2:-}
    host_configure "$1"
    [[ -z $address ]] ||
        sed -i "s/^listen_tcp = .*/listen_tcp = 1\nlisten_addr = \"$address\"/" "$dir/$1/etc/libvirtd.conf"
    VIRTJOB_LAB=$dir lab=$lab root=$dir/$1 host=$1 setsid unshare --net --mount --uts --propagation private bash -ec '
        hostname "$host"
        ip link set lo up
        [[ ! -e ${root%/*}/hosts ]] || mount --bind "${root%/*}/hosts" /etc/hosts
        mkdir "$root/run/lock" "$root/run/udev"
        [[ ! -d /run/udev ]] || mount --bind /run/udev "$root/run/udev"
        mount --rbind "$root/run" /run
        mount -t tmpfs -o size=64k "$lab-$host" /run/lock
        mount -t sysfs sysfs /sys
        : >"$root/absent"
        for absent in /usr/bin/qemu-system-i386 /dev/kvm; do
            [[ ! -e $absent ]] || { mount --bind "$root/absent" "$absent"; mount -o remount,bind,ro "$absent"; }
        done
        mount --bind "$root/etc" /etc/libvirt
        for folder in lib log cache; do mount --bind "$root/$folder" "/var/$folder/libvirt"; done
        echo $$ >"$root/holder.new"
        mv "$root/holder.new" "$root/holder.pid"
        exec sleep infinity' </dev/null >"$dir/$1/holder.log" 2>&1 &
    wait_until 10 test -s "$dir/$1/holder.pid" || die "$1: $(cat "$dir/$1/holder.log")"
}

# Starts the daemon and waits until it answers. The first connection makes it probe QEMU, for seconds: done here, once.
host_start() {
    local listen=()
    [[ -z $(host_pids "$1" libvirtd) ]] || die "$1: libvirtd runs already"
    grep -q '^listen_tcp = 1' "$dir/$1/etc/libvirtd.conf" && listen=(--listen)
    host_run "$1" setsid "$here/reaper" libvirtd "${listen[@]}" --pid-file /run/libvirtd.pid \
        </dev/null >>"$dir/$1/libvirtd.log" 2>&1 &
    wait_until 60 host_answers "$1" $! || die "$1 does not answer: $(tail -3 "$dir/$1/libvirtd.log")"
}

# host_answers HOST STARTER: the process that started the daemon, its reaper, ends with it, and must still be there.
host_answers() {
    kill -0 "$2" 2>/dev/null || die "$1: libvirtd has ended: $(tail -3 "$dir/$1/libvirtd.log")"
    virsh -q -c "$(host_uri "$1")" capabilities >/dev/null 2>&1
}

# host_pool HOST FOLDER: the pool `default`, as most hosts have one.
host_pool() {
    local orders="pool-define-as default dir --target '$2'; pool-autostart default; pool-start default"
    virsh -q -c "$(host_uri "$1")" "$orders" >"$dir/$1/virsh.log"
}

# host_stop HOST SIGNAL: the daemon alone; guests go on.
host_stop() {
    local pids
    pids=$(host_pids "$1" libvirtd)
    # shellcheck disable=SC2086
    [[ -z $pids ]] || kill "-$2" $pids 2>/dev/null || true
    wait_until 30 gone host_pids "$1" libvirtd || die "$1: libvirtd does not end"
}

host_end() {
    end_all host_pids "$1"
}
