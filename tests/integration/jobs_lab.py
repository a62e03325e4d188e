# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of the spine share: a libvirtd whose copies wait until they are let go, and looks at the queues."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import urllib.request

import lab
from servers import folder, wait_for
from volume_lab import MIB, data_file, put


class HeldLibvirtd(lab.Libvirtd):
    """A private libvirtd. While it is `held`, `qemu-img convert` waits before it begins: a full copy to qcow2 takes as
    long as a test wants."""

    def __init__(self):
        super().__init__()
        self.place = folder("held")
        self.gate, self.marks = self.place / "gate", self.place / "marks"
        real = self.place / "qemu-img.real"
        shutil.copy2(shutil.which("qemu-img"), real)
        self.marks.touch()
        script = self.place / "qemu-img"
        script.write_text(f"#!/bin/sh\nif [ \"$1\" = convert ]; then echo \"$*\" >>{self.marks}\n"
                          f"    while [ -e {self.gate} ]; do sleep 0.05; done\nfi\nexec {real} \"$@\"\n")
        script.chmod(0o755)
        holder = (pathlib.Path(self.env["LIBVIRTD_DIR"]) / "node1/holder.pid").read_text().strip()
        subprocess.run(["nsenter", "--target", holder, "--mount", "mount", "--bind", script, shutil.which("qemu-img")],
                       check=True, stdin=subprocess.DEVNULL)

    @contextlib.contextmanager
    def held(self):
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    def hold(self):
        self.gate.touch()

    def let_go(self):
        self.gate.unlink(missing_ok=True)

    def copies(self):
        """How many copies have begun, the waiting ones included."""
        return len(self.marks.read_text().splitlines())

    def wait_copies(self, count, timeout=30):
        wait_for(f"{count} copies under way", lambda: self.copies() >= count, timeout)


def new_pool(libvirtd, size=4 * MIB):
    """A pool with a small volume `source` that survives a restart of libvirtd."""
    pool = lab.TestPool(libvirtd.connect())
    pool.pool.setAutostart(True)
    put(pool, "source", data_file(size, MIB))
    return pool


def clone(pool, target, source="source"):
    """The parameters of a clone that a held libvirtd holds."""
    return {"source": {"pool": pool.name, "volume": source}, "target": {"pool": pool.name, "volume": target},
            "method": "full"}


def outcomes(requester, job_id=None):
    """All outcomes that have come, copies included, as they came: of a job, or of all."""
    requester.poll()
    return [event for event in requester.events if event["id"].endswith("/outcome") and
            job_id in (None, event["subject"])]


def one_outcome(requester, job_id):
    """The `data` of the job's outcome, of which there is no other, but copies."""
    came = {json.dumps(event, sort_keys=True) for event in outcomes(requester, job_id)}
    if len(came) != 1:
        raise lab.Failure(f"{len(came)} outcomes of {job_id}: {came}")
    return json.loads(came.pop())["data"]


def messages(requester, name):
    """How many messages a queue of the worker's holds, those under way included."""
    for line in requester.broker.ctl("-q", "list_queues", "name", "messages").splitlines():
        queue, _tab, count = line.partition("\t")
        if queue == f"{requester.prefix}.{name}":
            return int(count)
    raise lab.Failure(f"there is no queue {name}")


def wait_empty(requester, *names, timeout=30):
    for name in names:
        wait_for(f"nothing left in {name}", lambda: messages(requester, name) == 0, timeout)


def free_address():
    """An address of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def metric(address, series):
    """The value of one series, as `name{label="value"}`, of a worker's metrics; 0 where it has none yet."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10 * lab.SCALE) as reply:
        for line in reply.read().decode().splitlines():
            name, _space, value = line.rpartition(" ")
            if name == series:
                return float(value)
    return 0
