# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""The stories: what requesters ask for. Each function makes the jobs of one, all from its random numbers."""

import itertools
import random

import plan
from plan import Effect, Job

MIB = 1 << 20
# What is in the pool `gold` (see stage.py): name, format, capacity.
RAW, OTHER_RAW, QCOW2, TINY, BOOT = "a.raw", "b.raw", "a.qcow2", "tiny.raw", "boot.raw"
KEEP_AT_MOST = 6 << 30  # bytes of clones that no job deletes


class Teller:
    """The stories of a seed, one after another."""

    def __init__(self, seed, hosts, guest_xml):
        self.seed, self.hosts, self.guest_xml = seed, hosts, guest_xml
        self.number = 0
        self.kept = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.rng = random.Random(f"{self.seed}/story/{self.number}")
        self.host = self.rng.choice(self.hosts)
        self.things = itertools.count()
        # The slow one early, so that a short run has it too.
        make = deaf if self.number == 2 else self.rng.choices([story for story, _ in STORIES],
                                                              [weight for _, weight in STORIES])[0]
        self.story = f"{make.__name__}-{self.number}"
        self.number += 1
        jobs = make(self)
        for job in jobs:
            self.decorate(job)
        return jobs

    def decorate(self, job):
        """Orders to cancel, deadlines, and rarely something of a failure to be kept."""
        job.cancel = plan.cancel_of(self.rng, 0.12)
        job.deadline = plan.deadline_of(self.rng, 0.07)
        if self.rng.random() < 0.03:
            job.members["on_failure"] = "keep"

    def name(self, ending=""):
        return f"{self.story}-{next(self.things)}{ending}"

    def job(self, kind, params, *effects, **more):
        more.setdefault("host", self.host)
        return Job(plan.new_id(self.rng), kind, params=params, effects=list(effects), story=self.story, **more)

    def keeps(self, size):
        """Whether what a job makes stays to the end."""
        if self.rng.random() < 0.7 or self.kept + size > KEEP_AT_MOST:
            return False
        self.kept += size
        return True

    # Jobs.

    def clone(self, source, name, size, **more):
        format = "qcow2" if source.endswith("qcow2") or more.get("method") == "linked" else "raw"
        params = {"source": {"pool": "gold", "volume": source}, "target": {"pool": "work", "volume": name},
                  "method": more.pop("method", "full"), **more.pop("params", {})}
        return self.job("volume.clone", params, Effect("volume", name, "make", source, params.get("format", format),
                                                       size, linked=params["method"] == "linked"), **more)

    def create(self, name, format, size, **params):
        return self.job("volume.create", {"target": {"pool": "work", "volume": name}, "capacity": size,
                                          "format": format, **params},
                        Effect("volume", name, "make", None, format, size))

    def delete(self, name, after, **more):
        return self.job("volume.delete", {"pool": "work", "volume": name}, Effect("volume", name, "delete"),
                        after=after, **more)

    def look(self, name, after, **more):
        return self.job("volume.info", {"pool": "work", "volume": name}, Effect("volume", name, "look"), after=after,
                        **more)

    def define(self, name, disk=None, **more):
        return self.job("guest.define", {"xml": self.guest_xml(name, self.host, disk)},
                        Effect("guest", name, "define"), **more)

    def power(self, kind, name, verb, after, **params):
        return self.job(kind, {"guest": name, **params},
                        Effect("guest", name, verb, paused=params.get("paused", False)), after=after)

    def undefine(self, name, volumes, after):
        effects = [Effect("guest", name, "undefine")] + [Effect("volume", volume, "undefine") for volume in volumes]
        return self.job("guest.undefine", {"guest": name, "destroy": True, "volumes": bool(volumes)}, *effects,
                        after=after)

    def provision(self, source, size, boots=False, options="", absent=False, **params):
        name = self.name()
        format = "qcow2" if source.endswith("qcow2") else "raw"
        disk = f"{name}.{format}"
        paused = not boots
        target = {"pool": "work", "volume": disk}
        params = {"xml": self.guest_xml(name, self.host, "/replaced", boots=boots, options=options, absent=absent),
                  "name": name, "paused": paused,
                  "disks": [{"device": "vda", "source": {"pool": "gold", "volume": source}, "target": target,
                             "method": "full"}], **params}
        return name, disk, self.job("guest.provision", params,
                                    Effect("volume", disk, "make", source, format, size),
                                    Effect("guest", name, "provision", boots=boots, paused=paused))


def clone_raw(t):
    name = t.name(".raw")
    made = t.clone(t.rng.choice([RAW, OTHER_RAW]), name, 256 * MIB,
                   params={"preallocate": True} if t.rng.random() < 0.2 else {})
    return [made] if t.keeps(256 * MIB) else [made, t.delete(name, [made])]


def clone_qcow2(t):
    name = t.name(".qcow2")
    made = t.clone(QCOW2, name, 192 * MIB)
    jobs = [made, t.look(name, [made])]
    return jobs[:1] if t.keeps(192 * MIB) else [*jobs, t.delete(name, jobs)]


def clone_converted(t):
    name = t.name(".qcow2")
    made = t.clone(RAW, name, 256 * MIB, params={"format": "qcow2"})
    return [made, t.delete(name, [made])]


def clone_small(t):
    method = t.rng.choice(["full", "linked"])
    name = t.name(".qcow2" if method == "linked" else ".raw")
    made = t.clone(TINY, name, 4 * MIB, method=method)
    return [made] if t.rng.random() < 0.3 else [made, t.delete(name, [made])]


def create(t):
    format = t.rng.choice(["raw", "qcow2"])
    name = t.name(f".{format}")
    made = t.create(name, format, t.rng.choice([1, 64, 512]) * MIB,
                    preallocation=t.rng.choice(["none", "none", "full"]) if format == "raw" else "none")
    look = t.look(name, [made])
    return [made, look] if t.rng.random() < 0.2 else [made, look, t.delete(name, [look])]


def guest(t):
    name = t.name()
    jobs = [t.define(name)]
    jobs.append(t.power("guest.start", name, "start", jobs[-1:], paused=True))
    jobs.append(t.power("guest.info", name, "look", jobs[-1:]))
    if t.rng.random() < 0.2:
        return jobs
    jobs.append(t.power("guest.destroy", name, "stop", jobs[-1:]))
    return [*jobs, t.undefine(name, [], jobs[-1:])]


def guest_with_disk(t):
    name, disk = t.name(), t.name(".qcow2")
    jobs = [t.create(disk, "qcow2", 16 * MIB)]
    jobs.append(t.define(name, disk, after=jobs[-1:]))
    jobs.append(t.power("guest.start", name, "start", jobs[-1:]))
    jobs.append(t.power("guest.shutdown", name, "stop", jobs[-1:], timeout_s=1, destroy=True))
    return [*jobs, t.undefine(name, [disk], jobs[-1:])]


def provision(t):
    source, size = t.rng.choice([(RAW, 256), (QCOW2, 192), (TINY, 4)])
    start = t.rng.random() < 0.7
    name, disk, made = t.provision(source, size * MIB, start=start)
    if t.rng.random() < 0.3 and t.keeps(size * MIB):
        return [made]
    return [made, t.undefine(name, [disk], [made])]


def boot(t):
    name, disk, made = t.provision(BOOT, 32 * MIB, boots=True)
    down = t.power("guest.shutdown", name, "stop", [made], timeout_s=60, destroy=True)
    return [made, down, t.undefine(name, [disk], [down])]


def deaf(t):
    """Takes longer to shut down than the broker waits for an acknowledgement."""
    name, disk, made = t.provision(BOOT, 32 * MIB, boots=True, options="deaf")
    down = t.power("guest.shutdown", name, "stop", [made], timeout_s=45, destroy=True)
    return [made, down, t.undefine(name, [disk], [down])]


def failing_start(t):
    """All is copied and defined when it turns out that the guest cannot start."""
    source, size = t.rng.choice([(QCOW2, 192), (TINY, 4)])
    _name, _disk, made = t.provision(source, size * MIB, absent=True)
    made.fails = ("not-found", "libvirt", "internal")
    return [made]


def failing(t):
    kind = t.rng.randrange(6)
    if kind == 0:
        made = t.clone("absent.raw", t.name(".raw"), MIB)
        made.fails = ("not-found",)
    elif kind == 1:
        made = t.clone(RAW, "foreign.raw", 256 * MIB)
        made.fails = ("conflict",)
    elif kind == 2:
        made = t.create("foreign.qcow2", "qcow2", 64 * MIB)
        made.fails = ("conflict",)
    elif kind == 3:
        made = t.define("foreign-guest")
        made.fails = ("conflict",)
    elif kind == 4:
        made = t.power("guest.start", t.name(), "start", [])
        made.fails = ("not-found",)
    else:
        made = t.create(t.name(".raw"), "raw", MIB, surprise=1)
        made.fails = ("invalid",)
    if made.effects[0].name.startswith("foreign"):
        made.effects = []
    return [made]


def anywhere(t):
    if t.rng.random() < 0.3:
        return [t.job("host.info", {}, host="any")]
    name = t.name(".raw")
    source, size = t.rng.choice([(TINY, 4), (RAW, 256)])
    made = t.clone(source, name, size * MIB, host="any")
    return [made] if t.keeps(size * MIB) else [made, t.delete(name, [made], there=made)]


def looks(t):
    return [t.job("host.info", {}), t.job("guest.list", {}), t.job("volume.list", {"pool": "work"}),
            t.job("volume.info", {"pool": "work", "volume": "foreign.raw"})][:t.rng.randint(1, 4)]


def contest(t):
    """Two want the same name."""
    name = t.name(".raw")
    one, other = t.clone(RAW, name, 256 * MIB), t.clone(OTHER_RAW, name, 256 * MIB)
    return [one, other, t.delete(name, [one, other])]


def contest_guest(t):
    name = t.name()
    one, other = t.define(name), t.define(name)
    return [one, other, t.undefine(name, [], [one, other])]


def rash(t):
    """The delete does not wait for what it deletes."""
    name = t.name(".raw")
    source, size = t.rng.choice([(RAW, 256), (TINY, 4)])
    made = t.clone(source, name, size * MIB)
    return [made, t.delete(name, []), t.delete(name, [made])]


STORIES = [(clone_raw, 10), (clone_qcow2, 8), (clone_converted, 3), (clone_small, 6), (create, 8), (guest, 5),
           (guest_with_disk, 3), (provision, 8), (boot, 1.5), (deaf, 0.3), (failing_start, 3), (failing, 7), (anywhere, 6),
           (looks, 5), (contest, 3), (contest_guest, 2), (rash, 3)]
