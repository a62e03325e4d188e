# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of volumes share: one worker on one libvirtd, files with content, small file systems."""

import os
import pathlib
import subprocess

import lab
from servers import Skip, cleanup, folder, once, quietly

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
