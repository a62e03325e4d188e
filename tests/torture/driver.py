# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""The requester: sends the jobs of the stories, so many at a time, and the orders to cancel; has effects looked at."""

import concurrent.futures
import contextlib
import datetime
import json
import socket
import threading
import time

import pika

import servers
from servers import quietly
from stage import PREFIX

BEFORE = 2.5  # seconds between an order that comes before its job, and the job
CONFIRM_PATIENCE = 20  # seconds


@contextlib.contextmanager
def bounded(connection, seconds):
    """Cuts the connection then: the confirm of a stream whose leader died may never come, and pika would wait for ever."""
    def cut():
        quietly(connection._impl._transport._sock.shutdown, socket.SHUT_RDWR)
    timer = threading.Timer(seconds, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Driver:
    def __init__(self, stage, record, proof, stories, options):
        self.stage, self.record, self.proof, self.stories, self.options = stage, record, proof, stories, options
        self.jobs = []      # all that were told, in their order
        self.waiting = []   # not sent yet
        self.open = []      # sent, not settled
        self.checks = concurrent.futures.ThreadPoolExecutor(4)
        self.channel = None
        self.life = None
        self.doubtful = set()  # jobs that may have been sent twice
        self.told_all = False

    def run(self, end):
        """Until all jobs have ended, or nothing has for long. No story is begun after `end`."""
        said = quiet_since = time.monotonic()
        settled = 0
        while not self.told_all or self.open or self.waiting:
            self._tell(end)
            self._cancel()
            self._send()
            self._settle()
            now = time.monotonic()
            if len(self.jobs) - len(self.open) - len(self.waiting) != settled:
                settled = len(self.jobs) - len(self.open) - len(self.waiting)
                quiet_since = now
            if now - quiet_since > self.options.patience * servers.SCALE:
                self.open, self.waiting = [], []  # lost
                return
            if now > said + 20:
                said = now
                print(f"  {settled} jobs have ended, {len(self.open)} are under way", flush=True)
            with self.record.changed:
                self.record.changed.wait(0.05)

    def ask(self, *jobs):
        """Besides all stories: sends these, and waits for their ends."""
        self.jobs += jobs
        self.waiting += jobs
        self.run(0)

    def close(self):
        self.checks.shutdown()
        quietly(self.channel.connection.close)

    def _tell(self, end):
        """Another story, while few jobs wait: the sequence is the seed's, whatever becomes of them."""
        while not self.told_all and len(self.waiting) < self.options.window:
            if self.options.jobs and len(self.jobs) >= self.options.jobs or time.monotonic() > end:
                self.told_all = True
                return
            story = next(self.stories)
            self.jobs += story
            self.waiting += story

    # Sending.

    def _send(self):
        for job in list(self.waiting):
            if len(self.open) >= self.options.window:
                return
            if self._may_go(job):
                self.publish_job(job)
                self.waiting.remove(job)
                self.open.append(job)

    def _may_go(self, job):
        if not all(other.settled for other in job.after):
            return False
        if job.cancel is None or job.cancel.moment != "before":
            return True
        if job.cancel.ordered is None:
            self.order(job)
        return time.monotonic() > job.cancel.ordered + BEFORE

    def publish_job(self, job):
        if job.there is not None:
            job.host = self.record.host_of(job.there) or next(iter(self.stage.hosts))
        body = {"id": job.id, "type": job.type, "host": job.host, "params": job.params,
                "labels": {"story": job.story}, **job.members}
        if job.deadline is not None:
            at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=job.deadline)
            body["deadline"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        job.sent = time.monotonic()
        job.members = {key: value for key, value in body.items() if key not in ("params",)}
        if self.publish(f"{PREFIX}.jobs", f"{job.type}@{job.host}", body, job.id):
            self.doubtful.add(job.id)

    def publish(self, exchange, key, body, id=None):
        """Until the broker has confirmed it; whether it may have taken it twice. Not while the broker goes down."""
        doubt = False
        while True:
            sending = False
            with self.stage.gate:
                try:
                    self._connect()
                    sending = True
                    with bounded(self.channel.connection, CONFIRM_PATIENCE):
                        self.channel.basic_publish(exchange, key, json.dumps(body).encode(), pika.BasicProperties(
                            content_type="application/json", delivery_mode=2, message_id=id,
                            timestamp=int(time.time())), mandatory=id is not None)
                    return doubt
                except (pika.exceptions.AMQPConnectionError, pika.exceptions.AMQPChannelError) as error:
                    if isinstance(error, pika.exceptions.UnroutableError):
                        raise
                    doubt = doubt or sending  # refused, or not answered
                    self.life = None
            time.sleep(0.2)

    def _connect(self):
        """Anew after each end of a broker: its connections are gone, and ours need not find out by a failure."""
        if self.life == self.stage.broker_life and self.channel.is_open:
            return
        if self.channel is not None:
            quietly(self.channel.connection.close)
        life = self.stage.broker_life
        self.channel = self.stage.broker.connect().channel()
        self.channel.confirm_delivery()
        self.life = life

    # Cancelling.

    def order(self, job):
        self.publish(f"{PREFIX}.control", "cancel", {"cancel": job.id, "reason": f"a part of {job.story}"})
        job.cancel.ordered = time.monotonic()

    def _cancel(self):
        now = time.monotonic()
        for job in self.jobs:
            if job.sent is None or job.cancel is None or job.cancel.ordered is not None:
                continue
            since = {"sent": job.sent, "started": self.record.started(job) or job.ended,
                     "late": job.ended}[job.cancel.moment]
            if since is not None and now > since + job.cancel.delay:
                self.order(job)

    # What has ended.

    def _settle(self):
        for job in list(self.open):
            if job.ended is None and self.record.outcome(job) is not None:
                job.ended = self.record.outcomes[job.id][0].time
                job.check = self.checks.submit(self.proof.look, job)
            elif job.ended is not None and job.check.done():
                job.proofs += job.check.result()
                job.settled = True
                self.open.remove(job)
