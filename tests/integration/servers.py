# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""The servers of an integration test: a broker, a libvirtd, a worker. Tests import them by way of lab.py.

Servers come from the run (VIRTJOB_LAB_BROKER and VIRTJOB_LAB_LIBVIRTD name their env files), or are started for this
test alone; a test that stops servers starts its own with `Broker()` or `Libvirtd()`. What is made here ends with it.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import libvirt
import pika

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "tests/lab"
WRAPPER = shlex.split(os.environ.get("VIRTJOB_WRAPPER", ""))
# How much longer everything may take: valgrind and the sanitizers are slow, and so is a shared machine.
SCALE = float(os.environ.get("VIRTJOB_TEST_SCALE", "8" if WRAPPER else "1"))
OUTCOMES = ("succeeded", "failed", "cancelled", "expired", "uncertain")
COMPLAINTS = re.compile(r"(Address|Leak|Thread)Sanitizer|runtime error: |"
                        r"^==\d+== .*(lost in loss|Invalid|uninitialised)", re.MULTILINE)

cleanup = contextlib.ExitStack()
libvirt.registerErrorHandler(lambda _context, _error: None, None)


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Failure(AssertionError):
    """What a wait or a check of this library reports."""


def program(name):
    """The path of a built program: from the environment, or of the build folder, or of the tests in there."""
    build = pathlib.Path(os.environ.get("VIRTJOB_BUILD_DIR") or ROOT / "build/default")
    helper = build / "tests" / name
    return os.environ.get(name.upper()) or str(helper if helper.exists() else build / name)


def wait_for(what, condition, timeout=10):
    """Waits until the condition holds and returns its value; for what gives no event of its own."""
    end = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {timeout * SCALE:g} s: {what}")
        time.sleep(0.05)


def folder(name):
    """A new folder for this test, short enough for a socket's path."""
    base = os.environ.get("VIRTJOB_RUN_DIR")
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-" if base else f"virtjob-{name}-", dir=base))
    cleanup.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def once(make):
    """The value of the first call, for all."""
    kept = []

    def get():
        if not kept:
            kept.append(make())
        return kept[0]
    return get


def read_env(path):
    """A file of KEY=VALUE lines."""
    return dict(line.rstrip("\n").split("=", 1) for line in open(path, encoding="utf-8"))


def _run(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
                          encoding="utf-8").stdout


class Server:
    """A lab of tests/lab: private to the test, or a shared one whose env file is given."""

    program = None

    def __init__(self, *options, env_file=None):
        self.shared = env_file is not None
        if not self.shared:
            self.directory = folder(self.program) / "lab"
            cleanup.callback(self.order, "down")
            self.order("up", *options)
        self.env = read_env(env_file or self.directory / "env")

    def order(self, verb, *arguments):
        """tests/lab/<program> VERB DIR ...; returns what it prints."""
        if self.shared:
            raise Failure(f"'{verb}' on a server that other tests use")
        return _run([LAB / self.program, verb, self.directory, *arguments])

    def __getattr__(self, verb):
        if verb not in ("stop", "start", "restart", "kill", "down", "cut", "mend"):
            raise AttributeError(verb)
        return lambda *arguments: self.order(verb, *arguments)


class Broker(Server):
    """A RabbitMQ node. Options as of tests/lab/broker: "--tls", "--conf", "consumer_timeout = 60000"."""

    program = "broker"

    def __init__(self, *options, env_file=None):
        super().__init__(*options, env_file=env_file)
        self.uri = self.env["BROKER_URI"]
        self.directory = pathlib.Path(self.env["BROKER_DIR"])

    def connect(self, **parameters):
        """A pika connection; no heartbeats, for a test does not serve them while it waits elsewhere."""
        settings = pika.URLParameters(self.uri)
        settings.heartbeat = 0
        for name, value in parameters.items():
            setattr(settings, name, value)
        return pika.BlockingConnection(settings)

    def ctl(self, *arguments):
        """rabbitmqctl against this node; returns what it prints."""
        return _run([LAB / "broker", "ctl", self.directory, *arguments])

    def forget(self, prefix):
        """Deletes every queue and exchange under a prefix."""
        test = f'fun(N) -> string:prefix(element(4, N), <<"{prefix}.">>) =/= nomatch end'
        queues = '[rabbit_amqqueue:delete(Q, false, false, <<"lab">>) || Q <- rabbit_amqqueue:list(<<"/">>), ' \
                 'F(amqqueue:get_name(Q))]'
        exchanges = '[rabbit_exchange:delete(N, false, <<"lab">>) || N <- rabbit_exchange:list_names(), F(N)]'
        self.ctl("eval", f"F = {test}, {queues}, {exchanges}, ok.")


class Libvirtd(Server):
    """A libvirtd with QEMU in emulation, and a pool `default`."""

    program = "libvirtd"

    def __init__(self, env_file=None):
        super().__init__(env_file=env_file)
        self.uri = self.env["LIBVIRTD_URI"]

    def connect(self):
        """A libvirt connection of the test's own."""
        connection = libvirt.open(self.uri)
        cleanup.callback(quietly, connection.close)
        return connection


class TwoHosts(Server):
    """Two libvirt hosts for migrations: `uris` and, for one to call the other, `peer_uris`, by name. kill("host-a") and the
    like are for the daemon of one, cut() and mend() for the cable."""

    program = "two-hosts"

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip("private libvirt hosts need root")
        super().__init__()
        self.uris = {"host-a": self.env["HOST_A_URI"], "host-b": self.env["HOST_B_URI"]}
        self.peer_uris = {"host-a": self.env["HOST_A_PEER_URI"], "host-b": self.env["HOST_B_PEER_URI"]}
        self.images = pathlib.Path(self.env["HOSTS_IMAGES"])


def _shared(kind, variable):
    def make():
        if not os.environ.get(variable) and kind is Libvirtd and os.geteuid() != 0:
            raise Skip("a private libvirtd needs root")
        return kind(env_file=os.environ.get(variable) or None)
    return once(make)


broker = _shared(Broker, "VIRTJOB_LAB_BROKER")
libvirtd = _shared(Libvirtd, "VIRTJOB_LAB_LIBVIRTD")


@once
def image():
    """The folder with a kernel, an initramfs and disk.img to boot from (tests/lab/guest-image)."""
    path = folder("image")
    subprocess.run([LAB / "guest-image", path], check=True)
    return path


def quietly(function, *arguments):
    """Calls it, and does not mind that a server says no: for what may be gone already."""
    with contextlib.suppress(libvirt.libvirtError, pika.exceptions.AMQPError, OSError):
        function(*arguments)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives a test that was killed


class Worker:
    """A virtjobd under a private prefix. Further settings by section: Worker(worker={"long_slots": 2}).

    Its log is in `log`; stop() fails the test on a bad exit status or a complaint of a checker."""

    def __init__(self, broker_=None, hosts=None, prefix=None, ready=True, name="w1", uri=None, kill_point=None,
                 **sections):
        """`kill_point`: dies by its own hand there (worker/kill_point.h), "after-done" or "after-done:2"."""
        self.kill_point = kill_point
        self.broker = broker_ or broker()
        self.prefix = prefix or f"t{secrets.token_hex(4)}"
        self.hosts = {"node1": "test:///default"} if hosts is None else hosts
        self.directory = folder("worker")
        self.settings = {"broker": {"uri": uri or self.broker.uri, "prefix": self.prefix}, "worker": {"name": name},
                         "limits": {"retry_delays": "1s"},  # what may pass, soon has in a test
                         **{f"host {host}": {"uri": address} for host, address in self.hosts.items()}}
        for section, values in sections.items():
            self.settings.setdefault(section, {}).update(values)
        self.process = None
        if prefix is None:
            cleanup.callback(self._forget)
        cleanup.callback(self._abandon)
        self.start(ready)

    def start(self, ready=True):
        """Starts it, again after a stop or kill, and waits until it takes jobs."""
        configuration = self.directory / "virtjobd.conf"
        configuration.write_text("".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
            for section, values in self.settings.items()))
        self._lines, self._changed = [], threading.Condition()
        name, environment = "virtjobd", None
        if self.kill_point:
            name, environment = "virtjobd_killable", {**os.environ, "VIRTJOB_KILL_POINT": self.kill_point}
        command = [*WRAPPER, program(name), "--config", configuration]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment, preexec_fn=_die_with_parent)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        if ready:
            self.wait_log(r'(: |"message": ?")ready\b', timeout=30)

    def _read(self, process):
        with open(self.directory / "log", "ab") as kept:
            for line in process.stderr:
                kept.write(line)
                kept.flush()
                with self._changed:
                    self._lines.append(line.decode(errors="replace"))
                    self._changed.notify_all()
        with self._changed:
            self._lines.append("")  # the end, for who waits
            self._changed.notify_all()

    @property
    def log(self):
        """What it has written since it was started."""
        with self._changed:
            return "".join(self._lines)

    @property
    def pid(self):
        """Of the worker itself, whatever wraps it (valgrind keeps the id)."""
        return self.process.pid

    def wait_log(self, pattern, timeout=10, count=1):
        """Waits until `count` lines of its log match the regular expression; returns the last of them."""
        def found():
            lines = [line for line in self._lines if re.search(pattern, line)]
            return lines[count - 1] if len(lines) >= count else None
        with self._changed:
            self._changed.wait_for(lambda: found() or self._lines[-1:] == [""], timeout * SCALE)
            line = found()
        if line is None:
            raise Failure(f"the worker never logged {pattern!r}:\n{self.log}")
        return line

    def stop(self, timeout=40, status=0):
        """SIGTERM, and the checks of a clean end."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            ended = self.process.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise Failure(f"the worker did not end within {timeout * SCALE:g} s of SIGTERM:\n{self.log}") from None
        self._reader.join()
        self.process = None
        if ended != status:
            raise Failure(f"the worker ended with {ended}, not {status}:\n{self.log}")
        if COMPLAINTS.search(self.log):
            raise Failure(f"a checker complained:\n{self.log}")

    def wait_killed(self, timeout=30):
        """Until it has died at its kill point; then it can be started again, as it was or with `kill_point` None."""
        if self.process.wait(timeout * SCALE) != -signal.SIGKILL:
            raise Failure(f"the worker ended with {self.process.returncode}, not at {self.kill_point}:\n{self.log}")
        self._reader.join()
        self.process = None

    def kill(self):
        """SIGKILL: what a crash looks like from outside."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process = None

    def _abandon(self):
        if self.process is not None and sys.exc_info()[0] is None and self.process.poll() is None:
            self.stop()
        self.kill()

    def _forget(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.broker.forget(self.prefix)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _traceback):
        if kind is None:
            self.stop()
        else:
            self.kill()
            sys.stderr.write(f"--- log of the worker\n{self.log}---\n")
