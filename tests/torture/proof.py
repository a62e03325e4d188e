# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""Whether what a job says it has done is there, and whole: looked at when its outcome has come, and again at the end."""

import subprocess

import libvirt

import servers
from servers import wait_for


class Proof:
    def __init__(self, stage, record):
        self.stage, self.record = stage, record
        self.looked = 0
        self.compared = 0

    def look(self, job):
        """What is wrong with the effects of a job that has just ended, as texts; things that other jobs are at are left
        for the end."""
        outcome = self.record.outcome(job)
        host = self.stage.hosts.get(self.record.host_of(job))
        if outcome["state"] != "succeeded" or host is None or self._shared(job):
            return []
        self.looked += 1
        wrong = []
        for effect in job.effects:
            wrong += self.effect(job, effect, host, outcome)
        return wrong

    def _shared(self, job):
        return job.story.startswith(("contest", "rash"))

    def effect(self, job, effect, host, outcome):
        if effect.verb == "make":
            return self.volume(effect, host)
        if effect.verb in ("delete", "undefine") and effect.kind == "volume" and (host.work / effect.name).exists():
            return [f"{effect.name} is still there"] if outcome["changed"] or effect.verb == "delete" else []
        if effect.kind == "guest":
            return self.guest(job, effect, host)
        return []

    # Volumes.

    def volume(self, effect, host):
        """Compared with its source, byte for byte as a guest sees it."""
        path = host.work / effect.name
        if not path.exists():
            return [f"{path} is not there"]
        self.compared += 1
        if effect.source is None:
            return self._empty(effect, path)
        source = host.gold / effect.source
        if effect.linked:
            said = qemu_img("info", "-U", "--output=json", path).stdout
            return [] if str(source) in said else [f"{path} is no overlay of {source}"]
        if effect.format == "raw":
            same = subprocess.run(["cmp", source, path], capture_output=True, encoding="utf-8", check=False)
        else:
            same = qemu_img("compare", "-U", "-f", source.suffix[1:], "-F", "qcow2", source, path)
        return [] if same.returncode == 0 else [f"{path} is not whole: {same.stdout}{same.stderr}"]

    @staticmethod
    def _empty(effect, path):
        if effect.format == "raw":
            size = path.stat().st_size
            return [] if size == effect.size else [f"{path} has {size} bytes, not {effect.size}"]
        said = qemu_img("info", "-U", "--output=json", path)
        return [] if f'"virtual-size": {effect.size}' in said.stdout else [f"{path} is not as asked for: {said.stdout}"]

    # Guests.

    def guest(self, job, effect, host):
        try:
            xml, uuid, state = host.ask(lambda c: self._look(c, effect.name))
        except libvirt.libvirtError:
            return [] if effect.verb in ("undefine", "stop") else [f"guest {effect.name} is not there"]
        if effect.verb == "undefine":
            return [f"guest {effect.name} is still there"]
        active = state not in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)
        wrong = []
        if effect.verb in ("define", "provision"):
            wrong += [] if uuid == job.id else [f"guest {effect.name} has the UUID {uuid}"]
            wrong += [] if job.id in xml.split("<devices>")[0].split("</uuid>")[1] else [f"{effect.name} has no stamp"]
        started = effect.verb == "start" or effect.verb == "provision" and job.params.get("start", True)
        wrong += [f"guest {effect.name} does not run"] if started and not active else []
        wrong += [f"guest {effect.name} runs"] if effect.verb in ("stop", "define") and active else []
        wrong += [f"guest {effect.name} is paused"] if started and not effect.paused and \
            state == libvirt.VIR_DOMAIN_PAUSED else []
        return wrong + (self._boots(effect) if effect.boots and not wrong else [])

    @staticmethod
    def _look(connection, name):
        domain = connection.lookupByName(name)
        return domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), domain.UUIDString(), domain.state()[0]

    def _boots(self, effect):
        console = self.stage.console(effect.name)
        try:
            wait_for("boot", lambda: console.exists() and b"GUEST-UP" in console.read_bytes(), 60)
        except servers.Failure:
            return [f"guest {effect.name} has not come up"]
        return []


def qemu_img(*arguments):
    return subprocess.run(["qemu-img", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8", check=False)
