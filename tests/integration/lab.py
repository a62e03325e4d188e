# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What an integration test imports: servers (see servers.py), a requester, pools, guests, and main().

A test is an executable `<area>-<behaviour>` with functions `test_*`, one behaviour each, and `lab.main()` at its end:

    w = lab.Worker(hosts={"node1": lab.libvirtd().uri})
    r = lab.Requester(w)
    outcome = r.run("guest.info", {"guest": "web-7"})
"""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time
import traceback
import uuid

import libvirt
import pika

import servers
from servers import LAB, OUTCOMES, Failure, Skip, cleanup, folder, image, quietly, wait_for

# For tests, which import this module alone.
Broker, Libvirtd, TwoHosts, Worker = servers.Broker, servers.Libvirtd, servers.TwoHosts, servers.Worker
broker, libvirtd, program = servers.broker, servers.libvirtd, servers.program
ROOT, SCALE, WRAPPER = servers.ROOT, servers.SCALE, servers.WRAPPER


def _end(number, _frame):
    sys.exit(f"ended by {signal.Signals(number).name}")  # unwinds, and so cleans up


def main(functions=None):
    """Runs the test functions of the calling program in their order and ends it: 0, 1, or 77 if all are skipped."""
    module = sys.modules["__main__"]
    tests = functions or [f for name, f in vars(module).items() if name.startswith("test_") and callable(f)]
    wanted = sys.argv[1:]
    failed = skipped = 0
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _end)
    signal.alarm(int(float(os.environ.get("VIRTJOB_TEST_TIMEOUT", "0"))))
    with cleanup:
        for test in [t for t in tests if not wanted or t.__name__ in wanted]:
            begun = time.monotonic()
            try:
                test()
                verdict = "ok"
            except Skip as reason:
                verdict, skipped = f"skipped: {reason}", skipped + 1
            except Exception:  # one failing behaviour does not hide the others
                traceback.print_exc()
                verdict, failed = "FAILED", failed + 1
            print(f"{test.__name__}: {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
        failed += not _events_are_valid()
    sys.exit(1 if failed else 77 if skipped and skipped == len(tests) else 0)


def _events_are_valid():
    """Puts every event that any requester has seen through the published schemas."""
    for requester in Requester.all:
        quietly(requester.poll)
    lines = [json.dumps({key: value for key, value in event.items() if key != "routing_key"})
             for requester in Requester.all for event in requester.events]
    if not lines:
        return True
    checked = subprocess.run([program("validate_events")], input="\n".join(lines), stdout=subprocess.PIPE,
                             encoding="utf-8", check=False)
    if checked.returncode != 0:
        print(f"events that break their schemas ({checked.returncode}):\n{checked.stdout}", flush=True)
    return checked.returncode == 0


class Requester:
    """Sends jobs and hears every event of a worker's prefix, over a queue that outlives an outage of the broker.

    `events` holds all that has come, oldest first, as CloudEvents; main() checks them at the end."""

    all = []

    def __init__(self, worker, broker_=None):
        self.broker = broker_ or worker.broker
        self.prefix = worker.prefix
        self.queue = f"{self.prefix}.test.{secrets.token_hex(4)}"
        self.events = []
        self.connect()
        self.channel.queue_declare(self.queue, durable=True)
        self.channel.queue_bind(self.queue, f"{self.prefix}.events", "#")
        cleanup.callback(lambda: quietly(self.connection.close))
        Requester.all.append(self)

    def connect(self):
        """A connection of its own; again after the broker was away."""
        self.connection = self.broker.connect()
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def raw(self, body, routing_key, exchange=None, **properties):
        """Publishes bytes as they are and waits for the confirm; UnroutableError (pika) where they come back."""
        properties = {"content_type": "application/json", "delivery_mode": 2, **properties}
        self.channel.basic_publish(f"{self.prefix}.jobs" if exchange is None else exchange, routing_key, body,
                                   pika.BasicProperties(**properties), mandatory=True)

    def submit(self, kind, params, host="node1", id=None, properties=None, **members):
        """Sends a job; returns its id. More members of the job, as deadline, by name."""
        job = {"id": id or str(uuid.uuid4()), "type": kind, "host": host, "params": params, **members}
        self.raw(json.dumps(job).encode(), f"{kind}@{host}", **{"message_id": job["id"], **(properties or {})})
        return job["id"]

    def poll(self):
        """Takes in what has come, without waiting."""
        while True:
            method, _properties, body = self.channel.basic_get(self.queue, auto_ack=True)
            if method is None:
                return
            event = json.loads(body)
            event["routing_key"] = method.routing_key
            self.events.append(event)

    def wait(self, what, condition, timeout=30):
        """Waits for the first event that meets the condition, those that have come before included."""
        def found():
            nonlocal looked
            self.poll()
            for event in self.events[looked:]:
                looked += 1
                if condition(event):
                    return event
            return None
        looked = 0
        try:
            return wait_for(what, found, timeout)
        except Failure as failure:
            came = "\n".join(f"  {event['routing_key']}" for event in self.events[-20:])
            raise Failure(f"{failure}; the last events:\n{came}") from None

    def outcome(self, job_id, timeout=30):
        """The `data` of the job's outcome."""
        event = self.wait(f"the outcome of {job_id}", lambda e: e["id"] == f"{job_id}/outcome", timeout)
        state = event["type"].rsplit(".", 1)[1]
        if state not in OUTCOMES or event["data"]["state"] != state:
            raise Failure(f"not an outcome: {event}")
        return event["data"]

    def run(self, kind, params, timeout=30, **members):
        """Sends a job and returns the `data` of its outcome, whatever it is."""
        return self.outcome(self.submit(kind, params, **members), timeout)

    def succeed(self, kind, params, timeout=30, **members):
        """Sends a job that has to succeed; returns the `data` of its outcome."""
        outcome = self.run(kind, params, timeout, **members)
        if outcome["state"] != "succeeded":
            raise Failure(f"{kind} {outcome['state']}: {outcome['error']}")
        return outcome

    def fail(self, kind, params, code, where=None, timeout=30, **members):
        """Sends a job that has to fail with this code, and pointer where one is given; returns its `error`."""
        outcome = self.run(kind, params, timeout, **members)
        error = outcome.get("error", {})
        if (outcome["state"], error.get("code")) != ("failed", code) or where not in (None, error.get("where")):
            raise Failure(f"{kind}: not failed with {code} at {where}: {outcome}")
        return error

    def of(self, kind, subject=None):
        """All events so far of a type ("job.progress", "guest.started"), of one job or guest where given."""
        self.poll()
        return [event for event in self.events
                if event["type"] == f"io.virtjob.{kind}" and subject in (None, event.get("subject"))]

    def progress(self, job_id):
        """The `data` of each progress event of a job so far."""
        return [event["data"] for event in self.of("job.progress", job_id)]


class TestPool:
    """A directory pool of a private name, gone with the test."""

    def __init__(self, connection, name=None):
        self.name = name or f"pool-{secrets.token_hex(4)}"
        self.path = folder("pool")
        self.pool = connection.storagePoolDefineXML(
            f"<pool type='dir'><name>{self.name}</name><target><path>{self.path}</path></target></pool>")
        cleanup.callback(self._forget)
        self.pool.create()

    def add(self, name, source=None, size=None, format="raw"):
        """Puts a volume there without a job: a copy of a file, or empty with `size` bytes. Returns its path."""
        xml = (f"<volume><name>{name}</name><capacity>{size or pathlib.Path(source).stat().st_size}</capacity>"
               f"<allocation>0</allocation><target><format type='{format}'/></target></volume>")
        volume = self.pool.createXML(xml)
        if source:
            pathlib.Path(volume.path()).write_bytes(pathlib.Path(source).read_bytes())
        return volume.path()

    def volumes(self):
        """The names of what is there, on the disk and not in libvirt's memory."""
        return sorted(path.name for path in self.path.iterdir())

    def _forget(self):
        quietly(self.pool.destroy)
        quietly(self.pool.undefine)


def guest_name():
    """A name that no other test uses."""
    return f"guest-{secrets.token_hex(4)}"


def guest_xml(name, disk, format="raw", options=""):
    """The XML of a small guest that boots from image() with this disk; its console is console(name)."""
    text = (LAB / "guest.xml").read_text()
    for key, value in {"NAME": name, "DISK": disk, "FORMAT": format, "IMAGE": image(), "CONSOLE": console(name),
                       "OPTIONS": options}.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def console(name):
    """The file with what the guest has said on its serial console."""
    return image() / f"{name}.console"


def wait_console(name, text, timeout=30):
    """Waits until the guest has said this."""
    path = console(name)
    return wait_for(f"{text!r} on the console of {name}",
                    lambda: path.exists() and text in path.read_text(errors="replace"), timeout)


def forget_guest(connection, name):
    """Registers that the guest goes with the test, in whatever state it is then."""
    def forget():
        domain = connection.lookupByName(name)
        quietly(domain.destroy)
        quietly(domain.undefineFlags, libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM |
                libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
    cleanup.callback(quietly, forget)
