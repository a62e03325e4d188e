# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""All that the workers say of jobs, as it came: a quorum queue bound to `job.#`, read by a thread of its own."""

import collections
import dataclasses
import json
import threading
import time

import pika

from servers import OUTCOMES, cleanup, quietly
from stage import PREFIX

QUEUE = f"{PREFIX}.record"


@dataclasses.dataclass
class Event:
    time: float  # when it came, monotonic
    key: str
    body: bytes
    redelivered: bool  # by the broker to us: no copy of the worker's

    @property
    def data(self):
        return json.loads(self.body)["data"]

    @property
    def state(self):
        return self.key.split(".")[1]


class Record:
    def __init__(self, stage):
        self.stage = stage
        self.changed = threading.Condition()
        self.events = collections.defaultdict(list)  # job -> its events, oldest first
        self.outcomes = collections.defaultdict(list)  # job -> its outcomes, copies included
        self.counts = collections.Counter()  # events of each state; "outcome" counts jobs
        self.strays = []  # what is no event of a job
        self.ended = False
        with self._channel() as channel:
            channel.exchange_declare(f"{PREFIX}.events", "topic", durable=True)
            channel.exchange_declare(f"{PREFIX}.control", "direct", durable=True)
            channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(QUEUE, f"{PREFIX}.events", "job.#")
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        cleanup.callback(self.close)

    def _channel(self):
        return self.stage.broker.connect().channel()

    def close(self):
        self.ended = True
        self.thread.join(5)

    def _listen(self):
        while not self.ended:
            try:
                self._consume()
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.2)

    def _consume(self):
        channel = self._channel()
        channel.basic_qos(prefetch_count=500)
        try:
            for method, _properties, body in channel.consume(QUEUE, inactivity_timeout=0.2):
                if self.ended:
                    return
                if method is not None:
                    self.take(Event(time.monotonic(), method.routing_key, body, method.redelivered))
                    channel.basic_ack(method.delivery_tag)
        finally:
            quietly(channel.connection.close)

    def take(self, event):
        words = event.key.split(".")
        with self.changed:
            if len(words) != 5 or words[0] != "job":
                self.strays.append(event)
                return
            job = words[4]
            self.events[job].append(event)
            self.counts[event.state] += 1
            if event.state in OUTCOMES:
                self.counts["outcome"] += not self.outcomes[job]
                self.outcomes[job].append(event)
            self.changed.notify_all()

    def wait(self, condition, timeout):
        """Waits for what events change; False when the time is over."""
        with self.changed:
            return self.changed.wait_for(condition, timeout)

    def outcome(self, job):
        """The `data` of the job's first outcome, or None."""
        with self.changed:
            came = self.outcomes.get(job.id)
        return came[0].data if came else None

    def host_of(self, job):
        """Where a job ended: the host in the source of its outcome."""
        with self.changed:
            came = self.outcomes.get(job.id)
        source = json.loads(came[0].body)["source"] if came else ""
        return source.rsplit("/", 1)[1] if source.startswith("/virtjob/hosts/") else None

    def started(self, job):
        with self.changed:
            return next((event.time for event in self.events.get(job.id, []) if event.state == "started"), None)
