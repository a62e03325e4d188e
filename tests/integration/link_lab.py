# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the link-* tests share: one link in a process of its own (link_driver.c), and a look at its queue from outside."""

import collections
import json
import os
import pathlib
import secrets
import signal
import subprocess
import threading

import lab
from servers import COMPLAINTS, SCALE, WRAPPER, Failure, cleanup, folder, program


class Driver:
    """A link. `events` holds what it has told, oldest first; `fates` what became of each message."""

    def __init__(self, uri, **settings):
        command = [*WRAPPER, program("link_driver"), f"uri={uri}", *(f"{k}={v}" for k, v in settings.items())]
        self.log_path = folder("link") / "log"
        self.events, self.fates = [], {}
        self._changed = threading.Condition()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            encoding="utf-8")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        cleanup.callback(self._end)

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self._changed:
                self.events.append(event)
                if event["event"] == "fate":
                    self.fates[event["id"]] = event["fate"]
                self._changed.notify_all()

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def order(self, line):
        """Gives an order (see link_driver.c)."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def publish(self, key, name, count=1, exchange=".", flags="m", size=100):
        self.order(f"publish {exchange} {key} {name} {count} {flags} {size}")
        return [f"{name}-{i}" for i in range(count)]

    def wait(self, what, condition, timeout=10):
        """Waits until the condition holds for the whole of what was told; returns its value."""
        with self._changed:
            value = self._changed.wait_for(condition, timeout * SCALE)
        if not value:
            raise Failure(f"not within {timeout * SCALE:g} s: {what}\nfates: "
                          f"{collections.Counter(self.fates.values())}\n{self.log[-3000:]}")
        return value

    def of(self, kind):
        return [event for event in self.events if event["event"] == kind]

    def up(self, timeout=10):
        """Waits until it is up; the error where it cannot."""
        seen = len(self.of("up")) + len(self.of("down"))
        self.order(f"up {int(timeout * SCALE * 1000)}")
        self.wait("up or down", lambda: len(self.of("up")) + len(self.of("down")) > seen, timeout + 5)
        last = [event for event in self.events if event["event"] in ("up", "down")][-1]
        return last.get("error")

    def wait_opened(self, count, timeout=20):
        self.wait(f"{count} connections", lambda: len(self.of("open")) >= count, timeout)

    def wait_fates(self, ids, fate="confirmed", timeout=20):
        # The last first: it decides in one step nearly always.
        self.wait(f"the fate of {len(ids)} messages", lambda: all(i in self.fates for i in reversed(ids)), timeout)
        wrong = [i for i in ids if fate not in (None, self.fates[i])]
        if wrong:
            raise Failure(f"not {fate}: {[(i, self.fates[i]) for i in wrong[:5]]}\n{self.log[-3000:]}")

    def wait_deliveries(self, count, timeout=10):
        self.wait(f"{count} deliveries", lambda: len(self.of("delivery")) >= count, timeout)
        return self.of("delivery")

    def wait_log(self, text, timeout=10):
        return lab.wait_for(f"{text!r} in the log of the link", lambda: text in self.log, timeout)

    def stop(self, drain_ms=5000):
        """Ends it, and expects a clean end."""
        self.order(f"stop {drain_ms}")
        status = self.process.wait(60 * SCALE)
        self._reader.join()
        if status != 0 or COMPLAINTS.search(self.log):
            raise Failure(f"the link ended with {status}:\n{self.log[-6000:]}")


def queue(channel, **arguments):
    """A new quorum queue of a private name, bound to nothing but the default exchange."""
    name = f"link.{secrets.token_hex(4)}"
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})
    return name


def take(channel, name):
    """The message ids in a queue, oldest first; empties it."""
    ids = []
    for method, properties, _body in channel.consume(name, auto_ack=True, inactivity_timeout=0.5 * SCALE):
        if method is None:
            break
        ids.append(properties.message_id)
    channel.cancel()
    return ids


def first_arrivals(ids):
    """Without the copies of messages that were sent again."""
    return list(dict.fromkeys(ids))


def check(holds, what):
    if not holds:
        raise Failure(what)


class Frozen:
    """`with Frozen(broker):` the node's process stands still, its connections open."""

    def __init__(self, broker):
        mine = f"VIRTJOB_LAB={broker.directory}\0".encode()
        self.pids = [int(process.name) for process in pathlib.Path("/proc").glob("[0-9]*")
                     if _read(process / "comm") == b"beam.smp\n" and mine in _read(process / "environ")]

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has ended meanwhile
        return b""
