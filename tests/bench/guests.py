# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""How long a live migration and a save take, timed from outside: a whole `virtjob run` and a whole virsh doing the same, in
turns, each as often in each direction, in the two-host lab.

What both wait for, QEMU and libvirtd, varies from one to the next by more than what there is between them: so there are many
rounds, on a machine that does nothing else, and the standard error of the mean is told."""

import json
import os
import statistics
import subprocess
import time
import uuid

import lab
import migrate_lab
from migrate_lab import hosts, other, running
from servers import folder, wait_for


def figures(values):
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0
    return {"median": statistics.median(values), "mean": statistics.mean(values), "error": error, "least": min(values)}


class Guests:
    """A guest of which `memory_mib` are in use, all of them noise; it writes to none of it once it has begun to count."""

    def __init__(self, options):
        self.options = options
        self.folder = folder("bench")
        fill = options.memory_mib
        self.name = migrate_lab.guest(options=f"dirty={fill} rest=1000000", memory=fill + 256)
        lab.wait_console(self.name, f"DIRTY {fill}", 90)
        self.host = "host-a"
        self.config = hosts().config_file()
        self.image = hosts().saves / "image"

    def timed(self, command):
        os.sync()
        begun = time.monotonic()
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False)
        seconds = time.monotonic() - begun
        if ended.returncode:
            raise lab.Failure(f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return seconds

    def virsh(self, *arguments):
        return self.timed(["virsh", "-q", "-c", hosts().uris[self.host], *arguments])

    def virtjob(self, kind, **params):
        path = self.folder / "job.json"
        path.write_text(json.dumps({"id": str(uuid.uuid4()), "type": kind, "host": self.host,
                                    "params": {"guest": self.name, **params}}))
        return self.timed([lab.program("virtjob"), "run", path, "--config", self.config, "--json"])

    def migrate(self, run):
        """There or back; returns the seconds."""
        there = other(self.host)
        seconds = run(there)
        wait_for(f"the guest at {there}", lambda: running(there, self.name), 10)
        self.host = there
        return seconds

    def virsh_migrate(self, there):
        return self.virsh("migrate", "--live", "--p2p", "--persistent", "--undefinesource", self.name,
                          hosts().peer_uris[there])

    def virtjob_migrate(self, there):
        return self.virtjob("guest.migrate", destination=there)

    def save(self, run):
        """And restores it, which is not timed."""
        seconds = run()
        hosts().connect(self.host).restore(str(self.image))
        self.image.unlink()
        return seconds

    def virsh_save(self):
        return self.virsh("save", self.name, str(self.image))

    def virtjob_save(self):
        return self.virtjob("guest.save", path=str(self.image))

    def measure(self):
        """The first of each warms up. Who begins changes, and so does who goes which way."""
        turns = {"migration": (self.migrate, {"virsh migrate": self.virsh_migrate, "guest.migrate": self.virtjob_migrate}),
                 "save": (self.save, {"virsh save": self.virsh_save, "guest.save": self.virtjob_save})}
        seconds = {}
        for work, contestants in turns.values():
            order = list(contestants.items())
            for round_ in range(self.options.guest_rounds + 1):
                for name, run in order:
                    taken = work(run)
                    if round_:
                        seconds.setdefault(name, []).append(taken)
                order.reverse()
        return {name: figures(values) for name, values in seconds.items()}
