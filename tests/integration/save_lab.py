# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of saved guests share: a libvirtd that saves slowly."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import lab
from servers import Skip, folder

HELPER = pathlib.Path("/usr/lib/libvirt/libvirt_iohelper")
HELD = """#!/usr/bin/python3
import os, sys, time
while os.path.exists("{gate}"):
    piece = os.read(0, 65536)
    if not piece:
        sys.exit(0)
    os.write(int(sys.argv[2]), piece)
    time.sleep(0.05)
os.execv("{real}", ["{real}", *sys.argv[1:]])
"""


class SlowLibvirtd(lab.Libvirtd):
    """A private libvirtd, whose guests are saved at a megabyte a second while it is `slow`."""

    def __init__(self):
        super().__init__()
        if not HELPER.exists():
            raise Skip(f"no {HELPER}")
        place = folder("slow")
        self.gate, real, script = place / "gate", place / "iohelper.real", place / "iohelper"
        shutil.copy2(HELPER, real)
        script.write_text(HELD.format(gate=self.gate, real=real))
        script.chmod(0o755)
        self.run = pathlib.Path(self.env["LIBVIRTD_DIR"]) / "node1"
        holder = (self.run / "holder.pid").read_text().strip()
        subprocess.run(["nsenter", "--target", holder, "--mount", "mount", "--bind", script, HELPER], check=True,
                       stdin=subprocess.DEVNULL)

    @contextlib.contextmanager
    def slow(self):
        self.gate.touch()
        try:
            yield
        finally:
            self.gate.unlink()

    @contextlib.contextmanager
    def stopped(self, path="libvirtd.pid"):
        """While the process with this file stands still: the daemon, or the QEMU of a guest."""
        pid = int((self.run / "run" / path).read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


GZIP = """#!/usr/bin/python3
import os, subprocess, sys, time
real = subprocess.Popen(["{real}", *sys.argv[1:]], stdin=subprocess.PIPE)
while True:
    held = os.path.exists("{gate}")
    time.sleep(0.05 if held else 0)
    piece = os.read(0, 32768 if held else 1 << 20)
    if not piece:
        break
    real.stdin.write(piece)
    real.stdin.flush()
real.stdin.close()
sys.exit(real.wait())
"""


class GzipLibvirtd(lab.Libvirtd):
    """A private libvirtd that saves compressed, and is at it for long, as it is at restoring, while it is `held`."""

    def __init__(self):
        super().__init__()
        place = folder("gzip")
        self.gate, real, script = place / "gate", place / "gzip.real", place / "gzip"
        program = shutil.which("gzip")
        shutil.copy2(program, real)
        script.write_text(GZIP.format(gate=self.gate, real=real))
        script.chmod(0o755)
        run = pathlib.Path(self.env["LIBVIRTD_DIR"]) / "node1"
        with open(run / "etc/qemu.conf", "a", encoding="utf-8") as settings:
            settings.write('save_image_format = "gzip"\n')
        holder = (run / "holder.pid").read_text().strip()
        subprocess.run(["nsenter", "--target", holder, "--mount", "mount", "--bind", script, program], check=True,
                       stdin=subprocess.DEVNULL)
        self.restart()

    @contextlib.contextmanager
    def held(self):
        self.gate.touch()
        try:
            yield
        finally:
            self.gate.unlink()
