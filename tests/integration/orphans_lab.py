# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What the tests of orphans share: a libvirtd of their own, for to reap is to reap all that there is on a host, and
volumes and guests that look as if a job had left them long ago."""

import json
import os
import time
import uuid

import lab
from servers import Skip, once

KIB, MIB = 1 << 10, 1 << 20
HOUR = 3600


@once
def libvirtd():
    if os.geteuid() != 0:
        raise Skip("a private libvirtd needs root")
    return lab.Libvirtd()


@once
def connection():
    return libvirtd().connect()


def new_pool():
    return lab.TestPool(connection())


def record(pool, name, state="intended", age=2 * HOUR, **members):
    """Writes the record of a volume as a job does, so long ago; returns the job's id."""
    job = members.pop("job", None) or str(uuid.uuid4())
    text = {"job": job, "type": "volume.create", "state": "intended", "part": False,
            "time_ms": int((time.time() - age) * 1000), "capacity": MIB, **members}
    blank_record(pool, name, json.dumps(text).encode(), 128 * KIB if state == "done" else 64 * KIB)
    return job


def blank_record(pool, name, content=b"", size=64 * KIB):
    """A file by the name of a record, with any content."""
    (pool.path / f"{name}.virtjob").write_bytes(content.ljust(size, b"\0"))
    pool.pool.refresh()


def volume(pool, name, state="intended", size=MIB, **members):
    """A volume with its record; returns the job's id."""
    job = record(pool, name, state, **members)
    pool.add(name, size=size)
    return job


def guest(disk=None, age=2 * HOUR, job=None, start=False, state="intended", **members):
    """Defines a guest with a stamp, gone with the test; returns its name."""
    name = lab.guest_name()
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - age))
    more = "".join(f" {key}='{value}'" for key, value in members.items())
    disks = f"<disk type='file'><source file='{disk}'/><target dev='vda'/></disk>" if disk else ""
    lab.forget_guest(connection(), name)
    domain = connection().defineXML(
        f"<domain type='qemu'><name>{name}</name><metadata><virtjob:stamp "
        f"xmlns:virtjob='https://virtjob.io/xmlns/stamp/1' job='{job or uuid.uuid4()}' type='guest.provision' "
        f"state='{state}' time='{when}'{more}/></metadata><memory unit='MiB'>32</memory>"
        f"<os><type arch='x86_64'>hvm</type></os><devices>{disks}</devices></domain>")
    if start:
        domain.create()
    return name


def guests():
    return {domain.name() for domain in connection().listAllDomains()}


def found(result, name):
    """The find of a volume or guest in the result of host.orphans."""
    for entry in result["orphans"]:
        if name in (entry.get("volume"), entry.get("guest")):
            return entry
    raise lab.Failure(f"no '{name}' was found: {result}")
