# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""Where it happens: a broker or three, one or two hosts with their pools, things that are none of ours, and workers."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import threading
import time
import xml.sax.saxutils

import libvirt
import pika

import servers
from servers import LAB, cleanup, folder, image, quietly

MIB = 1 << 20
PREFIX = "torture"


def broker_options(ack_timeout):
    """What a delivery may wait for its acknowledgement, in seconds: short enough for real jobs to outlast it."""
    return ("--conf", f"consumer_timeout = {mark_of(ack_timeout)}",
            "--advanced", "{rabbit, [{channel_tick_interval, 2000}]}")


def mark_of(ack_timeout):
    """In milliseconds, and so odd that it can be found by its value in the broker's channels (faults.py)."""
    return ack_timeout * 1000 + 123


class OneBroker(servers.Broker):
    def __init__(self, ack_timeout):
        super().__init__(*broker_options(ack_timeout))
        self.uris = [self.uri]


class Cluster(servers.Server):
    """Three nodes; connect() takes one that answers."""

    program = "cluster"

    def __init__(self, ack_timeout):
        super().__init__(*broker_options(ack_timeout))
        self.uris = self.env["BROKER_URIS"].split()
        self.uri = self.env["BROKER_URIS"]

    def connect(self):
        for uri in self.uris:
            settings = pika.URLParameters(uri)
            settings.heartbeat, settings.socket_timeout = 0, 2
            try:
                return pika.BlockingConnection(settings)
            except pika.exceptions.AMQPConnectionError:
                pass
        raise pika.exceptions.AMQPConnectionError("none of the three answers")

    def ctl(self, *arguments):
        return self.order("ctl", *arguments)

    def leader_of_busiest(self):
        """The number of the node that leads the job queue with the most in it."""
        rows = [line.split("\t") for line in self.ctl("-q", "list_queues", "name", "messages", "leader").splitlines()]
        rows = [(int(count), leader) for name, count, leader in rows if name.startswith(f"{PREFIX}.jobs.")]
        leader = max(rows)[1]
        return next(n for n in "123" if servers.read_env(self.directory / n / "env")["BROKER_NODE"] == leader)


class Host:
    """A libvirt host: its pools `gold` (what is cloned; the same folder for all) and `work`."""

    def __init__(self, name, uri, lab, argument, gold):
        self.name, self.uri, self.gold = name, uri, gold
        self._lab, self._argument = lab, argument
        self.work = folder("work")
        self.work.chmod(0o755)
        self.connection = libvirt.open(uri)
        cleanup.callback(quietly, lambda: self.connection.close())
        for pool, path in ("gold", gold), ("work", self.work):
            defined = self.connection.storagePoolDefineXML(
                f"<pool type='dir'><name>{pool}</name><target><path>{path}</path></target></pool>")
            defined.setAutostart(True)
            defined.create()

    def order(self, verb):
        """kill, start, restart: of its libvirtd."""
        self._lab.order(verb, *self._argument)

    def ask(self, function, patience=60):
        """What `function` says of a connection, however often libvirtd dies meanwhile."""
        end = time.monotonic() + patience * servers.SCALE
        while True:
            try:
                return function(self.connection)
            except libvirt.libvirtError as error:
                if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_STORAGE_VOL):
                    raise
                if time.monotonic() > end:
                    raise
            time.sleep(0.2)
            try:
                self.connection = libvirt.open(self.uri)
            except libvirt.libvirtError:
                pass

    def guests(self):
        """What libvirt knows: name -> (uuid, active)."""
        return self.ask(lambda c: {d.name(): (d.UUIDString(), bool(d.isActive())) for d in c.listAllDomains()})

    def emulators(self):
        """The QEMU processes that run on it: name of the guest -> process."""
        mark = f" tmpfs {self._mark()} "
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if not (process / "comm").read_text().startswith("qemu-system") or \
                        mark not in (process / "mountinfo").read_text():
                    continue
                arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            named = [a for a in arguments if a.startswith("guest=")]
            found[named[0].split("=", 1)[1].split(",")[0] if named else process.name] = int(process.name)
        return found

    def _mark(self):
        """What hosts.sh calls its small file system, by which the processes of a host are known."""
        directory = self._lab.env.get("HOSTS_DIR") or self._lab.env["LIBVIRTD_DIR"]
        name = subprocess.run(["bash", "-c", '. "$1"; lab_name "$2"', "-", LAB / "common.sh", directory],
                              stdout=subprocess.PIPE, check=True, encoding="ascii").stdout
        return f"{name}-{self.name}"


@dataclasses.dataclass
class Exit:
    """How a worker's process ended."""

    status: int
    wanted: bool  # it was killed, or asked to


class Worker(servers.Worker):
    """A worker that is started again whenever it ends, as an operator's supervisor does, until `retire`."""

    def __init__(self, broker, host, name):
        self.host, self.name = host, name
        self.exits, self.handovers = [], []
        self.signals = []
        self.active = 0.0  # when it last said something of a job
        self.retired = False
        super().__init__(broker, hosts={host.name: host.uri}, prefix=PREFIX, ready=False, name=name,
                         broker={"heartbeat": 2, "connect_timeout": 3, "send_timeout": 5},
                         worker={"quick_slots": 4, "quick_prefetch": 32, "long_slots": 3, "host_patience": 20},
                         limits={"progress_interval": "300ms", "max_attempts": 6, "retry_delays": "1s 2s 4s"},
                         journal={"max_bytes": "64M"})
        # Its processes end with the thread that starts them.
        self.supervisor = threading.Thread(target=self._supervise, daemon=True)
        self.supervisor.start()

    def _read(self, process):
        for line in process.stderr:
            with self._changed:
                self._lines.append(line.decode(errors="replace"))
                self._changed.notify_all()
            if b"job=" in line:
                self.active = time.monotonic()
            with open(self.directory / "log", "ab") as kept:
                kept.write(line)

    def _supervise(self):
        while True:
            status = self.process.wait()
            self._reader.join()
            self.exits.append(Exit(status, self.retired or -status in self.signals or
                                   status == 0 and signal.SIGTERM in self.signals))
            if self.retired:
                return
            time.sleep(0 if self.exits[-1].wanted else 1)
            self.signals = []
            self.start(ready=False)

    def hit(self, number):
        """Sends a signal; what ends the process is noted, so that its end is no surprise."""
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.signals.append(number)
        process = self.process
        process.send_signal(number)
        return process

    def hand_over(self):
        """SIGTERM; how long it took to end is a figure."""
        begun = time.monotonic()
        process = self.hit(signal.SIGTERM)
        try:
            process.wait(60 * servers.SCALE)
        except subprocess.TimeoutExpired:
            self.hit(signal.SIGKILL)
        self.handovers.append(time.monotonic() - begun)

    def retire(self):
        self.retired = True
        self.hand_over()
        self.supervisor.join(10)

    def everything(self):
        """All that it has ever logged."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _abandon(self):
        self.retired = True
        if self.process.poll() is None:
            self.process.kill()
        self.supervisor.join(10)


def noise(path, mib):
    """No two pieces are alike, in one file or in two; made from one, for true randomness is slow."""
    piece = os.urandom(MIB)
    with open(path, "wb") as file:
        for number in range(mib):
            file.write(piece[number * 4099:] + piece[:number * 4099])


class Stage:
    def __init__(self, hosts, cluster, ack_timeout):
        self.ack_timeout = ack_timeout
        self.broker = (Cluster if cluster else OneBroker)(ack_timeout)
        self.clustered = cluster
        self.gate = threading.Lock()  # held while the broker goes down, and by who publishes: no message is in doubt
        self.broker_life = 0  # counts what breaks all connections
        self.gold = self._gold()
        self.hosts = {host.name: host for host in self._hosts(hosts)}
        for host in self.hosts.values():
            self._foreign(host)
        self.workers = []

    def start_workers(self):
        self.workers = [Worker(self.broker, host, f"{host.name}-{n}") for host in self.hosts.values() for n in (1, 2)]
        for worker in self.workers:
            worker.wait_log(r": ready\b", timeout=60)

    def _hosts(self, count):
        if count == 1:
            lab = servers.Libvirtd()
            return [Host("node1", lab.uri, lab, (), self.gold)]
        lab = servers.TwoHosts()
        return [Host(name, uri, lab, (name,), self.gold) for name, uri in lab.uris.items()]

    def _gold(self):
        """What is cloned."""
        gold = folder("gold")
        gold.chmod(0o755)
        noise(gold / "a.raw", 256)
        noise(gold / "b.raw", 256)
        noise(gold / "tiny.raw", 4)
        noise(gold / "noise", 192)
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", gold / "noise", gold / "a.qcow2"], check=True)
        (gold / "noise").unlink()
        (gold / "boot.raw").write_bytes((image() / "disk.img").read_bytes())
        return gold

    def _foreign(self, host):
        """What was there before us: volumes whose names are asked for, one with a record that is none, a guest that
        runs and one that is asked for."""
        noise(host.work / "foreign.raw", 3)
        noise(host.work / "foreign-disk.raw", 3)
        (host.work / "letter.txt").write_text("none of your business\n")
        (host.work / "letter.txt.virtjob").write_text("nor this\n")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", host.work / "foreign.qcow2", "64M"], check=True)
        host.connection.storagePoolLookupByName("work").refresh()
        host.connection.defineXML(self.guest_xml("foreign-guest", host.name, None))
        runs = host.connection.defineXML(self.guest_xml("foreign-runs", host.name, "foreign-disk.raw"))
        runs.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        cleanup.callback(quietly, runs.destroy)

    def guest_xml(self, name, host, disk, boots=False, options="", absent=False):
        """A guest that boots, or else has nothing to boot from and costs next to nothing. `disk`: its volume's name, or a
        path. absent: it has a second disk, whose file is not there."""
        path = str(disk if str(disk).startswith("/") else self.hosts[host].work / str(disk)) if disk else None
        if boots:
            text = (LAB / "guest.xml").read_text()
            for key, value in {"NAME": name, "DISK": path, "FORMAT": "raw", "IMAGE": image(),
                               "CONSOLE": self.console(name), "OPTIONS": options}.items():
                text = text.replace(f"@{key}@", str(value))
            return text
        disks = ""
        if path:
            disks += disk_xml(path, "qcow2" if path.endswith("qcow2") else "raw", "vda")
        if absent:
            disks += disk_xml("/absent/disk.raw", "raw", "vdb")
        return (f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
                "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
                f"<devices>{disks}<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>")

    @staticmethod
    def console(name):
        return image() / f"{name}.console"


def disk_xml(path, format, device):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='{format}'/>"
            f"<source file='{xml.sax.saxutils.escape(path)}'/><target dev='{device}' bus='virtio'/></disk>")
