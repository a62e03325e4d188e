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
