# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""Whether there is an order of the jobs on one thing in which each did what its outcome says, and which ends in what is
there: a job that ended before another was sent comes before it, all else is free.

The state of a volume is the id of the job that made it, or None. Of a guest: (id, active), or None. What a job has left
that crashed its workers is there until the orphans are reaped."""

import functools

NOTHING = None
CONFLICT, NOT_FOUND = "conflict", "not-found"


class Step:
    """A job's part in the history of one thing."""

    def __init__(self, job, effect, outcome, disturbed):
        self.job, self.effect, self.outcome = job, effect, outcome
        self.begun, self.ended = job.sent, job.ended
        self.state = outcome["state"]
        self.code = outcome.get("error", {}).get("code")
        self.where = outcome.get("error", {}).get("where", "")
        self.changed = outcome.get("changed", True)
        self.disturbed = disturbed  # it may have been begun twice, and seen what it did before
        self.beside_maker = self.beside_any = False  # others were at the thing meanwhile

    def after(self, before):
        """The states in which the job may have left the thing that it found in the state `before`."""
        return getattr(self, f"_{self.effect.verb}")(before)

    # What makes.

    def _make(self, before):
        return self._creation(before, self.job.id)

    def _define(self, before):
        return self._creation(before, (self.job.id, False))

    def _provision(self, before):
        return self._creation(before, (self.job.id, self.job.params.get("start", True)), (self.job.id, False))

    def _creation(self, before, made, *halves):
        if self.state == "succeeded":
            return {made} if before is NOTHING else set()
        if self.code == CONFLICT:
            return {before} if before is not NOTHING or self.beside_maker else set()
        if before is NOTHING and (self.state == "uncertain" or self.code == "crashed" or self.job.keeps):
            return {NOTHING, made, *halves}
        return {before}

    # What ends.

    def _delete(self, before):
        if self.state == "succeeded" and self.changed:
            return {NOTHING} if before is not NOTHING or self.beside_maker else set()
        if self.state == "succeeded":
            return {NOTHING} if before is NOTHING or self.disturbed else set()
        return self._perhaps(before, NOTHING)

    def _undefine(self, before):
        """Turns the guest off and deletes its volumes before the definition; where it is stopped in between, that stays."""
        if self.effect.kind == "guest":
            if self.state == "succeeded" or before is NOTHING:
                return self._delete(before)
            return {before, (before[0], False)} | ({NOTHING} if self._halfway() else set())
        if self.state == "succeeded" and not self.changed and not self.disturbed:
            return {before}
        return {NOTHING} if self.state == "succeeded" and self.changed else {before, NOTHING}

    # Power.

    def _start(self, before):
        return self._power(before, True)

    def _stop(self, before):
        """What is not there any more is off, for a job that comes again: a transient guest goes with its end."""
        if before is NOTHING and self.state == "succeeded" and not self.changed and self.disturbed:
            return {NOTHING}
        return self._power(before, False)

    def _power(self, before, wished):
        if before is NOTHING:
            return set() if self.state == "succeeded" else {before}
        if self.code == NOT_FOUND and self.where == "/params/guest":
            return {before} if self.beside_any else set()
        if self.state != "succeeded":
            return self._perhaps(before, (before[0], wished))
        as_told = self.changed == (before[1] != wished)
        return {(before[0], wished)} if as_told or not self.changed and self.disturbed else set()

    # Looks.

    def _look(self, before):
        if self.state == "succeeded":
            return {before} if before is not NOTHING or self.beside_maker else set()
        if self.code == NOT_FOUND:
            return {before} if before is NOTHING or self.beside_any else set()
        return {before}

    def _halfway(self):
        """It ended without success, and may have done its work nonetheless."""
        return self.state == "uncertain" or self.disturbed

    def _perhaps(self, before, after):
        return {before, after} if self._halfway() else {before}


def overlap(one, other):
    return one.begun <= other.ended and other.begun <= one.ended


def neighbours(steps):
    for step in steps:
        others = [other for other in steps if other is not step and overlap(step, other)]
        step.beside_any = bool(others)
        step.beside_maker = any(other.effect.verb in ("make", "define", "provision") for other in others)


def explained(steps, final):
    """Whether some order leads to a state that `final` says is the one that is there."""
    neighbours(steps)
    every = range(len(steps))

    @functools.cache
    def reaches(left, state):
        if not left:
            return final(state)
        for number in left:
            step = steps[number]
            if any(steps[other].ended < step.begun for other in left if other != number):
                continue  # that one came before
            rest = left - {number}
            if any(reaches(rest, after) for after in step.after(state)):
                return True
        return False
    return reaches(frozenset(every), NOTHING)
