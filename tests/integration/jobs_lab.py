# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of the spine share: a libvirtd whose copies wait until they are let go, and looks at the queues."""

import contextlib
import datetime
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import lab
from servers import folder, wait_for
from volume_lab import MIB, check, data_file, put


class HeldLibvirtd(lab.Libvirtd):
    """A private libvirtd. While it is `held`, `qemu-img convert` waits before it begins: a full copy to qcow2 takes as
    long as a test wants. Only where it is told to `drip` the target grows meanwhile, and there is progress."""

    def __init__(self):
        super().__init__()
        self.place = folder("held")
        self.gate, self.marks, self.drop = self.place / "gate", self.place / "marks", self.place / "drop"
        real = self.place / "qemu-img.real"
        shutil.copy2(shutil.which("qemu-img"), real)
        self.marks.touch()
        script = self.place / "qemu-img"
        script.write_text(f"#!/bin/sh\nif [ \"$1\" = convert ]; then echo \"$*\" >>{self.marks}\n"
                          f"    for target; do :; done\n"
                          f"    while [ -e {self.gate} ]; do\n"
                          f"        if [ -e {self.drop} ]; then cat {self.drop} >>\"$target\"; sleep 0.2; fi\n"
                          f"        sleep 0.05\n    done\nfi\nexec {real} \"$@\"\n")
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

    def drip(self, size=32 << 10):
        """From now on copies that are held seem to get on: by so much every quarter of a second."""
        self.drop.write_bytes(bytes(size))

    def let_go(self):
        self.gate.unlink(missing_ok=True)
        self.drop.unlink(missing_ok=True)

    def copies(self, path=""):
        """How many copies have begun, the waiting ones included: of this path, or below it, where one is given."""
        return sum(str(path) in line for line in self.marks.read_text().splitlines())

    def wait_copies(self, count, timeout=30):
        wait_for(f"{count} copies under way", lambda: self.copies() >= count, timeout)


def new_pool(libvirtd, size=4 * MIB, data=MIB, name=None):
    """A pool with a small volume `source` that survives a restart of libvirtd."""
    pool = lab.TestPool(libvirtd.connect(), name)
    pool.pool.setAutostart(True)
    put(pool, "source", data_file(size, data))
    return pool


def clone(pool, target, source="source"):
    """The parameters of a clone that a held libvirtd holds."""
    return {"source": {"pool": pool.name, "volume": source}, "target": {"pool": pool.name, "volume": target},
            "method": "full"}


class Copy:
    """A copy within a pool, one of its own where none is given, that libvirtd has begun and is kept from ending."""

    def __init__(self, libvirtd, requester, pool=None, **members):
        self.libvirtd, self.requester = libvirtd, requester
        self.pool = pool or new_pool(libvirtd)
        self.job = requester.submit("volume.clone", clone(self.pool, "target"), **members)
        wait_for("the copy to begin", lambda: self.made() > 0, 30)

    def outcome(self, state, timeout=60):
        """The `data` of its only outcome, which must be this; nothing of it is left but the copy itself."""
        outcome = self.requester.outcome(self.job, timeout)
        check(outcome["state"] == state, f"not {state}: {outcome}")
        wanted = ["source", "target"] if state == "succeeded" else ["source"]
        wait_for(f"nothing but {wanted} in the pool", lambda: self.pool.volumes() == wanted)
        return one_outcome(self.requester, self.job)

    def made(self):
        """How often libvirtd was told to make it."""
        return self.libvirtd.copies(self.pool.path)

    def wait(self, state, timeout=30):
        """The `data` of an event of the job, as "cancelling"."""
        return self.requester.wait(f"'{state}' of {self.job}", lambda e: e.get("subject") == self.job and
                                   e["type"] == f"io.virtjob.job.{state}", timeout)["data"]

    def wait_adopted(self, worker, timeout=30, count=1):
        """Until the worker has begun the job for the count-th time since its start, and looks on."""
        worker.wait_log(f"begun again job={self.job}", timeout, count)
        self.wait_progress()

    def wait_progress(self, timeout=30):
        """Until there is more progress than now."""
        seen = len(self.requester.progress(self.job))
        wait_for(f"more progress of {self.job}", lambda: len(self.requester.progress(self.job)) > seen, timeout)


def cancel(requester, job_id, **members):
    """Orders it."""
    order = {"cancel": job_id, **members}
    requester.raw(json.dumps(order).encode(), "cancel", exchange=f"{requester.prefix}.control",
                  timestamp=int(time.time()))


def deadline(seconds):
    """So many seconds from now, more where all is slow."""
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds * lab.SCALE)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ready(requester, name):
    """How many messages a queue of the worker's holds that nobody has taken: all, once its workers have ended."""
    return requester.channel.queue_declare(f"{requester.prefix}.{name}", passive=True).method.message_count


def all_acknowledged(requester, *workers, queues=("jobs.node1.quick", "jobs.node1.long", "dead")):
    """Stops the workers; what they had not acknowledged would be in its queue again."""
    for worker in workers:
        worker.stop()
    left = {name: ready(requester, name) for name in queues}
    check(not any(left.values()), f"messages are left: {left}")


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
