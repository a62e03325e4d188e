# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of volumes share: one worker on one libvirtd, files with content, small file systems."""

import contextlib
import json
import os
import pathlib
import subprocess
import threading
import uuid

import lab
from servers import COMPLAINTS, SCALE, WRAPPER, Failure, Skip, cleanup, folder, once, program, quietly

MIB = 1 << 20


def check(condition, text):
    if not condition:
        raise lab.Failure(text)


@once
def requester():
    """Sends jobs to a worker on the shared libvirtd; progress comes as often as it is looked at."""
    return lab.Requester(lab.Worker(hosts={"node1": lab.libvirtd().uri}, limits={"progress_interval": "100ms"}))


@once
def connection():
    return lab.libvirtd().connect()


def new_pool():
    return lab.TestPool(connection())


def ref(pool, name):
    return {"pool": pool.name, "volume": name}


def data_file(size, data, path=None):
    """A sparse file of `size` bytes with `data` bytes of noise in pieces all over it."""
    path = path or folder("data") / "noise.raw"
    with open(path, "wb") as file:
        file.truncate(size)
        pieces = max(1, data // MIB)
        for piece in range(pieces):
            file.seek(piece * (size // pieces) // 4096 * 4096)
            file.write(os.urandom(min(MIB, data)))
    return path


def qemu_img(*arguments, status=0):
    done = subprocess.run(["qemu-img", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8", check=False)
    check(done.returncode == status, f"qemu-img {arguments}: {done.returncode} {done.stdout}{done.stderr}")
    return done.stdout


def put(pool, name, source, format="qcow2", *options):
    """A volume with the content of a raw file; the pool is refreshed. Returns its path."""
    qemu_img("convert", "-f", "raw", "-O", format, *options, source, pool.path / name)
    pool.pool.refresh()
    return pool.path / name


def same_content(one, other, *options):
    """Compares what guests would see; a part beyond the end of the smaller must be zeros."""
    qemu_img("compare", *options, one, other)


class FileSystem:
    """A pool on a file system of its own, which only the lab's libvirtd sees; for us it is at `inside`."""

    def __init__(self, kind, size):
        directory = pathlib.Path(lab.libvirtd().env["LIBVIRTD_DIR"])
        self.holder = (directory / "node1/holder.pid").read_text().strip()
        image = folder("disk") / "image"
        with open(image, "wb") as file:
            file.truncate(size)
        if self._run(f"mkfs.{kind}", "-q", image):
            raise Skip(f"no mkfs.{kind}")
        self.pool = new_pool()
        self.name, self.path = self.pool.name, self.pool.path
        if self._inside("mount", "-t", kind, "-o", "loop", image, self.path):
            raise Skip(f"{kind} cannot be mounted here")
        cleanup.callback(self._inside, "umount", "--lazy", self.path)
        cleanup.callback(quietly, self.pool.pool.destroy)
        self.pool.pool.refresh()
        self.inside = pathlib.Path(f"/proc/{self.holder}/root{self.path}")

    @staticmethod
    def _run(*command):
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        try:
            return subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, env=environment, check=False).returncode
        except FileNotFoundError:
            return 127

    def _inside(self, *command):
        return self._run("nsenter", "--target", self.holder, "--mount", *command)

    def volumes(self):
        return sorted(path.name for path in self.inside.iterdir() if path.name != "lost+found")


def record(job, kind="volume.clone", **members):
    """What a job writes into the record of a volume."""
    return {"job": job, "type": kind, "state": "intended", "part": False, "time_ms": 1, "capacity": 0, **members}


def put_record(pool, name, text):
    """A record by another hand than ours: text as JSON, or as it is. libvirt learns of it."""
    text = json.dumps(text) if isinstance(text, dict) else text
    with open(pool.path / f"{name}.virtjob", "wb") as file:
        file.write(text.encode() + b"\0")
        file.truncate(65536)
    pool.pool.refresh()


class Driver:
    """Runs jobs on a host as a worker does, with what its other stages would know told by the test (volume_driver.c)."""

    def __init__(self, uri):
        self.log_path = folder("driver") / "log"
        self.events = []
        self._changed = threading.Condition()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*WRAPPER, program("volume_driver"), uri], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, encoding="utf-8")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        cleanup.callback(self._end)

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self.events.append({"event": "ended"})
            self._changed.notify_all()

    def _end(self):
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.close()
        self.kill()
        log = self.log_path.read_text(errors="replace")
        check(not COMPLAINTS.search(log), f"a checker complained:\n{log}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        """A clean end."""
        self.process.stdin.close()
        check(self.process.wait(30 * SCALE) == 0, f"the driver: {self.log_path.read_text(errors='replace')}")

    def order(self, *words):
        """Gives an order; what has been told before is forgotten."""
        with self._changed:
            self.events.clear()
        self.process.stdin.write(" ".join(json.dumps(w) if isinstance(w, dict) else w for w in words) + "\n")
        self.process.stdin.flush()

    def say(self, *words):
        """Gives an order that concerns the job under way."""
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def wait(self, *kinds, condition=lambda _event: True, timeout=60):
        """The first event of one of these kinds since the last order."""
        def found():
            return next((e for e in self.events if e["event"] in (*kinds, "ended") and
                         (e["event"] == "ended" or condition(e))), None)
        with self._changed:
            self._changed.wait_for(found, timeout * SCALE)
            event = found()
        if not event or event["event"] == "ended":
            raise Failure(f"no {kinds} of the driver; it told {self.events[-5:]}\n"
                          f"{self.log_path.read_text(errors='replace')}")
        return event

    def ask(self, *words):
        """An order and its answer."""
        self.order(*words)
        return self.wait("ok", "error", "stamp", "outcome")

    def begin(self, kind, params, flags="-", id=None, **members):
        """Begins a job; returns its id."""
        job = {"id": id or str(uuid.uuid4()), "type": kind, "host": "node1", "params": params, **members}
        self.order("run", flags, job)
        return job["id"]

    def run(self, kind, params, flags="-", id=None, **members):
        """The outcome of a job."""
        self.begin(kind, params, flags, id, **members)
        return self.wait("outcome", "error")

    def read(self, pool, name):
        return self.ask("read", pool.name, name)


@once
def driver():
    return Driver(lab.libvirtd().uri)
