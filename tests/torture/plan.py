# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the seed decides: the stories that jobs are parts of, and the faults. Nothing here looks at a clock or a server.

A story is a few jobs about one or two things that no other story touches: later jobs are sent when those before them
have ended, or at once, where the story is about just that."""

import dataclasses
import random
import uuid

# What a job may fail with for no fault of its own. The history of the thing says whether it may have been so.
PASSING = {"host-unavailable", "connection-lost", "busy", "timeout", "broker", "crashed"}


@dataclasses.dataclass
class Effect:
    """What a job does to one thing: a volume of the pool `work`, or a guest.

    verb: make (`source`, a volume of the pool `gold`, or None for an empty one; `format`, `size`), delete, look; define,
    provision, start, stop, undefine, look."""

    kind: str
    name: str
    verb: str
    source: str = None
    format: str = None
    size: int = 0
    linked: bool = False
    boots: bool = False
    paused: bool = False


@dataclasses.dataclass
class Cancel:
    """An order to cancel: `before` the job is sent, after it was `sent`, `started`, or has ended (`late`)."""

    moment: str
    delay: float
    ordered: float = None  # when


@dataclasses.dataclass(eq=False)
class Job:
    id: str
    type: str
    host: str  # or any
    params: dict
    effects: list
    story: str
    members: dict = dataclasses.field(default_factory=dict)
    after: list = dataclasses.field(default_factory=list)  # jobs whose end it waits for
    there: "Job" = None   # it goes to the host where that one went
    fails: tuple = ()     # with one of these codes, whatever happens
    deadline: float = None  # seconds after it is sent
    cancel: Cancel = None
    # What became of it.
    sent: float = None    # on the monotonic clock; None: not yet
    ended: float = None   # when its outcome was seen
    settled: bool = False  # and its effects looked at
    proofs: list = dataclasses.field(default_factory=list)  # what was wrong with them

    @property
    def keeps(self):
        return self.members.get("on_failure") == "keep"


@dataclasses.dataclass
class Fault:
    """Fires when `gap` more outcomes have come since the one before it, at the next event of that kind, after `delay`."""

    number: int
    gap: int
    event: str  # outcome, started, progress
    delay: float
    kind: str
    target: float  # 0..1: which of those that it may hit
    length: float  # seconds, for what lasts


# So many of each in a bag of faults; a bag is emptied before the next is filled.
BAG = {"worker-kill": 6, "worker-kill-both": 1, "worker-term": 3, "worker-stop": 2, "connection-cut": 3,
       "ack-timeout": 3, "libvirtd-kill": 2, "libvirtd-restart": 2, "broker-restart": 1, "broker-kill": 1}


def faults(seed, mean_gap):
    """An endless sequence."""
    number, bag = 0, []
    while True:
        rng = random.Random(f"{seed}/fault/{number}")
        if not bag:
            bag = [kind for kind, count in BAG.items() for _ in range(count)]
            rng.shuffle(bag)
        gap = max(0, round(rng.uniform(0.3, 1.7) * mean_gap)) if rng.random() > 0.1 else 0
        yield Fault(number, gap, rng.choice(["outcome", "started", "started", "progress"]),
                    rng.choice([0, rng.uniform(0, 0.3), rng.uniform(0, 2)]), bag.pop(), rng.random(),
                    rng.choice([rng.uniform(0.1, 2), rng.uniform(7, 10)]))
        number += 1


def cancel_of(rng, share):
    if rng.random() >= share:
        return None
    moment = rng.choice(["before", "sent", "sent", "started", "started", "started", "late"])
    return Cancel(moment, rng.choice([0, rng.uniform(0, 0.5), rng.uniform(0, 3)]))


def deadline_of(rng, share):
    if rng.random() >= share:
        return None
    return rng.choice([-60, rng.uniform(0.1, 1), rng.uniform(1, 4), 3600])


def new_id(rng):
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
