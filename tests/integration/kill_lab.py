# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""A worker that dies at each kill point in turn, and another one that has to end the job as if nothing had happened.

The points are those that the sources name; how often a job passes each is found out on the way: a visit that does not
come ends the walk of that point."""

import json
import re
import time

import lab
from jobs_lab import outcomes
from servers import ROOT, once, wait_for
from volume_lab import MIB, check, data_file, put

VISITS_MAX = 4  # of one point by one job


def points(*files):
    """The names of all kill points, from the sources; or of those in these files, as "jobs/guest_save*.c"."""
    names = set()
    for pattern in files or ("worker/*.c", "jobs/*.c"):
        for path in ROOT.glob(pattern):
            names |= set(re.findall(r'kill_point\("([a-z-]+)"\)', path.read_text()))
    if len(names) < (1 if files else 10):
        raise lab.Failure(f"these cannot be all kill points: {names}")
    return sorted(names)


@once
def connection():
    return lab.libvirtd().connect()


@once
def pool():
    """With a raw volume `source.raw`, a `source.qcow2`, and `base.img` to boot from."""
    made = lab.TestPool(connection())
    noise = data_file(8 * MIB, 2 * MIB)
    put(made, "source.raw", noise, "raw")
    put(made, "source.qcow2", noise, "qcow2")
    made.add("base.img", source=lab.image() / "disk.img")
    return made


class Walk:
    """One kind of job on its way through all points. `begin()` gives the job's members and what to check after it."""

    def __init__(self, begin, **settings):
        self.begin = begin
        self.settings = {"hosts": {"node1": lab.libvirtd().uri}, "limits": {"retry_delays": "1s"}, **settings}
        self.worker = lab.Worker(kill_point="nowhere", **self.settings)
        self.requester = lab.Requester(self.worker)
        self.worker.stop()
        self.killed = []

    def all(self, *files):
        """Of points(*files)."""
        for point in points(*files):
            for visit in range(1, VISITS_MAX + 1):
                if not self.one(f"{point}:{visit}"):
                    break
                self.killed.append(point)
        print(f"    {len(self.killed)} deaths at {len(set(self.killed))} points: {', '.join(sorted(set(self.killed)))}")

    def one(self, point):
        """Whether the job came by there. Either way it must have ended well."""
        job, look = self.begin()
        self.worker.kill_point = point
        self.worker.start()
        identifier = self.requester.submit(**job)
        died = self.wait_end(identifier)
        if died:
            self.worker.wait_killed()
            self.worker.kill_point = None
            self.worker.start()
            self.wait_again(identifier, point)
        try:
            self.requester.outcome(identifier)
            self.worker.stop()
            self.nothing_is_left()
            look(self.only_outcome(identifier), identifier)
        except Exception as failure:
            raise lab.Failure(f"killed at {point}: {failure}\n{self.worker.log}") from failure
        return died

    def wait_again(self, identifier, point):
        """Until the job that came again is ended. After its ack it does, unless that had not left the worker."""
        maybe = point.startswith("after-ack")
        try:
            self.worker.wait_log(f"(succeeded|failed|repeating).*{identifier}", 2 if maybe else 30)
        except lab.Failure:
            if not maybe:
                raise

    def wait_end(self, identifier):
        """True: the worker has died. False: the job has ended, and the worker lives some time after that."""
        def ended():
            if self.worker.process.poll() is not None:
                return "died"
            return "ended" if outcomes(self.requester, identifier) else None
        return wait_for("a death or an outcome", ended, 30) == "died" or self.dies_late()

    def dies_late(self):
        """Behind the outcome there are points of which nothing outside shows that they have been passed."""
        end = time.monotonic() + 0.5 * lab.SCALE
        while self.worker.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        return self.worker.process.poll() is not None

    def nothing_is_left(self):
        """The worker has ended, so what it had not acknowledged lies in its queue again."""
        for queue in ("jobs.node1.quick", "jobs.node1.long", "retry.1", "dead"):
            count = self.requester.channel.queue_declare(f"{self.requester.prefix}.{queue}",
                                                         passive=True).method.message_count
            check(count == 0, f"{count} messages in {queue}")

    def only_outcome(self, identifier):
        """All copies must be the same to the last byte; the `data`."""
        copies = {json.dumps(event, sort_keys=True) for event in outcomes(self.requester, identifier)}
        check(len(copies) == 1, f"{len(copies)} different outcomes: {copies}")
        return json.loads(copies.pop())["data"]


def no_records(names):
    left = [name for name in names if name.endswith(".virtjob")]
    check(not left, f"records left behind: {left}")
