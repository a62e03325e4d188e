# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the journal-* and control-* tests share: a driver in a process of its own, a prefix, and a line that can be cut."""

import contextlib
import json
import secrets
import socket
import subprocess
import threading
import urllib.parse

import pika

import lab
from servers import COMPLAINTS, SCALE, WRAPPER, Failure, cleanup, folder, program, quietly


class Driver:
    """journal_driver or control_driver. `events` holds what it has told, oldest first."""

    def __init__(self, name, **settings):
        self.log_path = folder(name) / "log"
        self.events = []
        self._changed = threading.Condition()
        command = [*WRAPPER, program(name), *(f"{key}={value}" for key, value in settings.items())]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            encoding="utf-8")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        cleanup.callback(self._end)

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def of(self, kind):
        return [event for event in self.events if event["event"] == kind]

    def wait(self, kind, count, timeout=20):
        """Waits for so many events of a kind; returns all of that kind."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout * SCALE):
                raise Failure(f"{len(self.of(kind))} of {count} '{kind}' in {timeout * SCALE:g} s\n{self.log[-3000:]}")
        return self.of(kind)

    def stop(self, timeout=10):
        """Closes its input, and expects a clean end."""
        self.process.stdin.close()
        status = self.process.wait(timeout * SCALE)
        self._reader.join()
        if status != 0 or COMPLAINTS.search(self.log):
            raise Failure(f"the driver ended with {status}:\n{self.log[-6000:]}")


class Stream:
    """A prefix of its own on the broker, and a channel to publish by."""

    def __init__(self, suffix):
        self.prefix = f"stream-{secrets.token_hex(4)}"
        self.name = f"{self.prefix}.{suffix}"
        self.uri = lab.broker().uri
        self.channel = lab.broker().connect().channel()
        self.channel.confirm_delivery()
        cleanup.callback(self.forget)

    def forget(self):
        channel = lab.broker().connect().channel()
        channel.queue_delete(self.name)
        for exchange in (self.name, f"{self.prefix}.events"):
            channel.exchange_delete(exchange)
        channel.connection.close()

    def put(self, message_id, body=b"", key=None, exchange="", **properties):
        """Publishes, by default straight into the stream, and waits for the confirm."""
        self.channel.basic_publish(exchange, key or self.name, body,
                                   pika.BasicProperties(message_id=message_id, **properties), mandatory=True)

    def fill(self, count, size):
        """Publishes that many messages that mean nothing, fast."""
        channel = lab.broker().connect().channel()
        for i in range(count):
            channel.basic_publish("", self.name, b"x" * size, pika.BasicProperties(message_id=f"filler/{i}"))
        channel.confirm_delivery()  # what was published before is there, too, once this one is
        channel.basic_publish("", self.name, b"", mandatory=True)
        channel.connection.close()


class Line:
    """Stands between a driver and the broker; `uri` leads through it. A connection is cut once so many bytes have come
    from the broker, the first by the first of `cuts` (None: not at all), and so on; later ones hold."""

    def __init__(self, uri, *cuts):
        parts = urllib.parse.urlsplit(uri)
        self.broker = (parts.hostname, parts.port)
        self.cuts = list(cuts)
        self.connections = 0
        self.pause_after = None
        self.held = False
        self.ends = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.uri = uri.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}")
        threading.Thread(target=self._accept, daemon=True).start()
        cleanup.callback(self._end)

    def _end(self):
        self.listener.close()
        self.cut()

    def cut(self):
        """Ends what is connected just now."""
        for end in self.ends:
            quietly(end.shutdown, socket.SHUT_RDWR)

    def hold_after(self, count):
        """The next connection carries that many bytes from the broker, then no more, and stays open; `held` tells."""
        self.pause_after = count

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
                broker = socket.create_connection(self.broker)
            except OSError:
                return
            self.connections += 1
            self.ends += [client, broker]
            budget = self.pause_after or (self.cuts.pop(0) if self.cuts else None)
            threading.Thread(target=self._carry, args=(client, broker, None), daemon=True).start()
            threading.Thread(target=self._carry, args=(broker, client, budget), daemon=True).start()

    def _carry(self, source, target, budget):
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if budget is None else min(budget, 65536)):
                target.sendall(data)
                budget = None if budget is None else budget - len(data)
                if budget == 0:
                    break
        if budget == 0 and self.pause_after:
            self.held = True
            return
        for end in (source, target):
            quietly(end.shutdown, socket.SHUT_RDWR)


def check(holds, what):
    if not holds:
        raise Failure(what)
