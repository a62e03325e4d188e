# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of save, restore and migrate share: two hosts, workers for them, guests that count, looks at both sides.

    name = guest("host-a")                     # boots from host-a's kernel, no disk; ticks on its console
    r = lab.Requester(worker_for_both())
    r.succeed("guest.migrate", {"guest": name, "destination": "host-b"}, host="host-a", timeout=60)
    check(running("host-b", name) and gone("host-a", name), "...")
    goes_on(name)                              # its console counts on, without a gap or a fresh start

What works here, as tried with libvirt itself (QEMU 7.2 in emulation, libvirt 9.0): live migration there and back in 2 to
4 s each, with a gapless console; disks copied (VIR_MIGRATE_NON_SHARED_DISK; the target's file is made by libvirt, for the
pool is on both); auto-converge; post-copy (flag from the start, then virDomainMigrateStartPostCopy: over in 2 s, for it
does not heed the bandwidth; the source says paused (5) meanwhile, and no final figures of it are readable anywhere).
Bandwidth holds to within 5 %. A first pass moves some 50 MiB: with 4 MiB/s it takes 13 s, with 8 MiB/s 7 s. dirty_guest()
does not converge with 8 MiB/s: at the end of each pass there are some 10 MiB left, the first figures after 1 s.

A call over a connection on which another thread is in a long call may hang in libvirt's client 9.0 until something else
comes in over it (without keepalive for ever): a test that blocks in a thread opens a connection of its own for it.

The lab is private to the test file and made at its first use; what is made here ends with it, on both hosts."""

import functools
import pathlib
import re
import time

import libvirt

import lab
from servers import cleanup, folder, quietly, wait_for
from volume_lab import MIB, check

HOSTS = ("host-a", "host-b")
PRIVATE = "/var/lib/libvirt/private"  # as a host sees it: a folder of its own on each, the pool `private`


class Lab(lab.TwoHosts):
    """The two hosts, with the pools `default` (the same folder on both) and `private` (one for each). connect() gives a
    connection that works, after the daemon was away as well. `saves`: a folder for save images, the same on both."""

    def __init__(self):
        super().__init__()
        self.saves = folder("saves")
        self.saves.chmod(0o755)
        self._connections = {}
        for host in HOSTS:
            self.private(host).mkdir()
            pool = self.connect(host).storagePoolDefineXML(
                f"<pool type='dir'><name>private</name><target><path>{PRIVATE}</path></target></pool>")
            pool.setAutostart(True)
            pool.create()

    def connect(self, host):
        connection = self._connections.get(host)
        try:
            if connection and connection.getLibVersion():
                return connection
        except libvirt.libvirtError:
            pass
        connection = libvirt.open(self.uris[host])
        self._connections[host] = connection
        cleanup.callback(quietly, connection.close)
        return connection

    def private(self, host):
        """The folder of the pool `private`, as it is seen from outside."""
        return self.directory / host / "lib/private"

    def sections(self, serve=HOSTS):
        """Of the configuration of a worker that serves these hosts and knows both; for lab.Worker and --config."""
        known = {f"host {host}": {"uri": self.uris[host], "peer_uri": self.peer_uris[host],
                                  "serve": "true" if host in serve else "false"} for host in HOSTS}
        return {**known, "save": {"folders": self.saves}}

    def config_file(self):
        """For `virtjob run --config`: the hosts and the folders, nothing else."""
        path = folder("config") / "virtjobd.conf"
        path.write_text("".join(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
                                for section, values in self.sections().items()))
        return path


@functools.cache
def hosts():
    return Lab()


def other(host):
    return HOSTS[1 - HOSTS.index(host)]


def worker_for_both(name="w1", like=None, **sections):
    """One worker that takes the jobs of both hosts; a standby of another with `like`. Progress comes often."""
    return _worker(name, like, HOSTS, sections)


def worker_of(host, name=None, like=None, **sections):
    """A worker that takes the jobs of one host, and knows the other as a destination alone."""
    return _worker(name or f"w-{host}", like, (host,), sections)


def _worker(name, like, serve, sections):
    settings = {**hosts().sections(serve), "limits": {"progress_interval": "200ms"}}
    for section, values in sections.items():
        settings[section] = {**settings.get(section, {}), **values}
    return lab.Worker(name=name, prefix=like and like.prefix, hosts={}, **settings)


def guest(host="host-a", disk=None, options="", persistent=True, boot=True, name=None, memory=96):
    """Defines a guest that counts and waits until it does. `disk`: None, "shared" (both see it; libvirt does not know, so a
    migration is `unsafe`), or "private" (32 MiB of noise on storage of the host's own). `options` are of the kernel,
    as "dirty=8" (see dirty_guest), `memory` in MiB. Returns its name."""
    name = name or lab.guest_name()
    for each in HOSTS:
        cleanup.callback(quietly, forget, each, name)
    connection = hosts().connect(host)
    xml = xml_of(name, _disk(host, name, disk), f"init_on_free=1 {options}")  # a third less memory to move
    xml = xml.replace("<memory unit='MiB'>96<", f"<memory unit='MiB'>{memory}<")
    domain = connection.defineXML(xml) if persistent else None
    if boot:
        domain = domain or connection.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)
        domain.create() if persistent else domain.resume()
        lab.wait_console(name, "tick 2\n", 60)
    return name


def dirty_guest(host="host-a", mib=16, **more):
    """A guest that writes so much of its memory over and over, as fast as it can."""
    name = guest(host, options=f"dirty={mib}", **more)
    lab.wait_console(name, f"DIRTY {mib}", 60)
    return name


def xml_of(name, disk=None, options=""):
    xml = lab.guest_xml(name, disk or "-", options=options)
    return xml if disk else re.sub(r"<disk .*?</disk>", "", xml, flags=re.DOTALL)


def _disk(host, name, kind):
    if kind is None:
        return None
    path = hosts().images / f"{name}.img" if kind == "shared" else hosts().private(host) / f"{name}.img"
    noise = lab.image() / "noise"
    if not noise.exists():
        piece = pathlib.Path("/dev/urandom").open("rb").read(MIB)
        noise.write_bytes(b"virtjob test image\n" + b"".join(piece[n * 4099:] + piece[:n * 4099] for n in range(32))[19:])
    path.write_bytes(noise.read_bytes())
    hosts().connect(host).storagePoolLookupByName("default" if kind == "shared" else "private").refresh()
    return path if kind == "shared" else f"{PRIVATE}/{name}.img"


def disk_bytes(host, name):
    """What is on the guest's private disk at this host; None: it has none there."""
    path = hosts().private(host) / f"{name}.img"
    return path.read_bytes() if path.exists() else None


def forget(host, name):
    """The guest goes from this host, in whatever state it is, with its private disk."""
    domain = lookup(host, name)
    if domain:
        quietly(domain.abortJob)
        quietly(domain.destroy)
        quietly(domain.undefineFlags, libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
    (hosts().private(host) / f"{name}.img").unlink(missing_ok=True)


def lookup(host, name):
    """The guest at this host, or None."""
    try:
        return hosts().connect(host).lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None


def state(host, name):
    """virDomainState of the guest at this host; None where it is not known there."""
    domain = lookup(host, name)
    try:
        return domain and domain.state()[0]
    except libvirt.libvirtError:
        return None


def running(host, name):
    return state(host, name) == libvirt.VIR_DOMAIN_RUNNING


def defined(host, name):
    """Whether it would be there after a restart of the host."""
    domain = lookup(host, name)
    return bool(domain and domain.isPersistent())


def gone(host, name):
    """Whether no guest, no definition and no emulator of it is there; for its private disk see disk_bytes."""
    return lookup(host, name) is None and not emulator(host, name)


def emulator(host, name):
    """The process of the guest at this host, 0 where it has none."""
    holder = (hosts().directory / host / "holder.pid").read_text().strip()
    space = pathlib.Path(f"/proc/{holder}/ns/mnt").readlink()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"guest={name},".encode() in (process / "cmdline").read_bytes() and \
                    (process / "ns/mnt").readlink() == space:
                return int(process.name)
        except OSError:
            continue
    return 0


def ticks(name):
    """The numbers that the guest has said so far."""
    path = lab.console(name)
    text = path.read_text(errors="replace") if path.exists() else ""
    return [int(number) for number in re.findall(r"^tick (\d+)\r*$", text, re.MULTILINE)]


def no_gap(name):
    """Fails the test where the guest did not count on one by one since it booted; returns the last number."""
    said = ticks(name)
    check(said == list(range(1, len(said) + 1)), f"{name} did not count one by one: {said}")
    return len(said)


def goes_on(name, by=2, timeout=30):
    """Waits until the guest has counted on by so much from now, and all of it without a gap or a fresh start."""
    before = no_gap(name)
    wait_for(f"{name} to count on from {before}", lambda: len(ticks(name)) >= before + by, timeout)
    return no_gap(name)


def stands_still(name, seconds=3):
    """Whether the guest has said nothing for a while."""
    before = ticks(name)
    time.sleep(seconds)
    return ticks(name) == before


def wait_work(host, name, timeout=30):
    """Until libvirt is at work on the guest (saves or migrates it); returns the statistics."""
    def found():
        domain = lookup(host, name)
        stats = domain.jobStats() if domain else {}
        return stats if stats.get("type", 0) != libvirt.VIR_DOMAIN_JOB_NONE else None
    return wait_for(f"work on {name} at {host}", found, timeout)


def no_work(host, name):
    """Whether libvirt is at work on the guest no more."""
    domain = lookup(host, name)
    return not domain or domain.jobStats().get("type", 0) == libvirt.VIR_DOMAIN_JOB_NONE
