# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""Attempts at a job that end in the middle of it, at each kill point in turn; what the next attempt makes of that."""

import json
import subprocess
import uuid

import lab

KILLED = 99


class Job:
    """One job, tried any number of times, each time in a process of its own."""

    def __init__(self, uri, kind, params, **members):
        self.uri = uri
        self.id = str(uuid.uuid4())
        self.document = json.dumps({"id": self.id, "type": kind, "host": "node1", "params": params, **members})

    def attempt(self, *words, kill=0):
        """What it came to, as of attempt_driver.c; None where it was killed."""
        words = [*words, *([f"kill={kill}"] if kill else [])]
        ran = subprocess.run([*lab.WRAPPER, lab.program("attempt_driver"), self.uri, self.document, *words],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=120 * lab.SCALE)
        if ran.returncode == KILLED and kill:
            return None
        if ran.returncode != 0:
            raise lab.Failure(f"the driver: {ran}")
        return json.loads(ran.stdout)

    def ended(self, state, *words):
        """What it came to, which must be this state, with all undone that was to be."""
        outcome = self.attempt(*words)
        if outcome["state"] != state or not all(row["ok"] for row in outcome.get("rollback", [])):
            raise lab.Failure(f"not {state}: {outcome}")
        return outcome


def kill_everywhere(make, check, *words, only=None):
    """For each kill point that the job comes by, or those named in `only`: `make` gives a fresh (job, anything), the job
    is killed there, and `check` gets the two and the name of the point; and so at the end. `words` are of the attempt
    that is killed. Returns the names of all points."""
    job, what = make()
    points = job.attempt(*words)["points"]
    check(job, what, "the end")
    for number, point in enumerate(points, 1):
        if only and point not in only:
            continue
        job, what = make()
        if job.attempt(*words, kill=number) is not None:
            raise lab.Failure(f"not killed at point {number}, {point}")
        check(job, what, f"{point} ({number})")
    return set(points)
