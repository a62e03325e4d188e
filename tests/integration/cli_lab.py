# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the cli-* tests share: virtjob as a process in pipes, and on a terminal of its own."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import threading

from lab import forget_guest, guest_name, libvirtd
from servers import COMPLAINTS, SCALE, WRAPPER, Failure, cleanup, program, wait_for


def command(worker, *arguments):
    """The command line, with the broker and the prefix of a worker where one is given."""
    at = ["--broker", worker.broker.uri, "--prefix", worker.prefix] if worker else []
    return [*WRAPPER, program("virtjob"), *arguments, *at]


def text_of(jobs):
    return jobs if isinstance(jobs, str) else "".join(json.dumps(job) + "\n" for job in jobs)


def virtjob(worker, *arguments, jobs="", timeout=60, environment=None):
    """Runs it to its end with the jobs (dicts, or text) on its standard input."""
    ended = subprocess.run(command(worker, *arguments), input=text_of(jobs), capture_output=True, encoding="utf-8",
                           env={**os.environ, **(environment or {})}, timeout=timeout * SCALE, check=False)
    if COMPLAINTS.search(ended.stderr):
        raise Failure(f"a checker complained:\n{ended.stderr}")
    return ended


def expect(ended, code):
    """Fails the test unless it ended with this code; returns it."""
    if ended.returncode != code:
        raise Failure(f"{ended.args} ended with {ended.returncode}, not {code}:\n{ended.stdout}{ended.stderr}")
    return ended


def events_of(text):
    """The CloudEvents in the lines of its output."""
    return [json.loads(line) for line in text.splitlines()]


def deaf_guest():
    """The name of a guest that runs and knows nothing of ACPI, for it has no operating system: a shutdown takes long."""
    connection, name = libvirtd().connect(), guest_name()
    forget_guest(connection, name)
    connection.createXML(f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>"
                         "<os><type arch='x86_64'>hvm</type></os></domain>")
    return name


class Process:
    """virtjob while it runs; `output` is all that it has written so far."""

    def __init__(self, worker, *arguments, jobs="", columns=None, rows=24, **environment):
        """On a terminal with so many columns, or without `columns` in a pipe."""
        ours, theirs = pty.openpty() if columns else os.pipe()
        self._fd, self._changed, self.output = ours, threading.Condition(), ""
        if columns:
            self.resize(columns, rows)
        self.process = subprocess.Popen(
            command(worker, *arguments), stdin=subprocess.PIPE, stdout=theirs, stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", **environment})
        os.close(theirs)
        cleanup.callback(self._end)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.process.stdin.write(text_of(jobs).encode())
        self.process.stdin.close()

    def _read(self):
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # the other end of a terminal is gone
                data = b""
            if not data:
                return
            with self._changed:
                self.output += data.decode(errors="replace")
                self._changed.notify_all()

    def resize(self, columns, rows):
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def tell(self, number):
        self.process.send_signal(number)

    def wait_output(self, text, timeout=20):
        """Waits until it has written this."""
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.output, timeout * SCALE):
                raise Failure(f"never wrote {text!r}:\n{self.output}")

    def forget_output(self):
        with self._changed:
            self.output = ""

    def ended(self, code, timeout=20):
        """Waits for its end; the test fails on another exit code. Returns all that it wrote."""
        wait_for("the end of virtjob", lambda: self.process.poll() is not None, timeout)
        self._reader.join()
        if self.process.returncode != code:
            raise Failure(f"ended with {self.process.returncode}, not {code}:\n{self.output}")
        if COMPLAINTS.search(self.output):
            raise Failure(f"a checker complained:\n{self.output}")
        return self.output

    def _end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._reader.join()
        os.close(self._fd)


def screen(output):
    """The lines that a terminal shows after this output: knows CR, LF, and the sequences that virtjob writes."""
    lines, row, column, i = [""], 0, 0, 0
    while i < len(output):
        character = output[i]
        i += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif character == "\033":
            end = i + 1
            while not output[end].isalpha():
                end += 1
            number, what = output[i + 1:end], output[end]
            i = end + 1
            if what == "A":
                row -= int(number)
            elif what == "K":
                lines[row] = lines[row][:column]
            elif what == "J" and not number:
                lines[row] = lines[row][:column]
                del lines[row + 1:]
            elif what != "m":
                raise Failure(f"a control sequence that is not ours: {output[end - 8:end + 1]!r}")
        else:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1:]
            column += 1
    return [line.rstrip() for line in lines]
