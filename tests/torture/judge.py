# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""Compares what the workers have said with what there is. Everything that does not fit is a finding, of one of the kinds
that must not be: lost, twice, left behind, contradiction."""

import collections
import dataclasses
import hashlib
import json

import libvirt

import history
import plan
from servers import COMPLAINTS
from stage import PREFIX

LOST, TWICE, LEFT, CONTRADICTION = "lost", "twice", "left behind", "contradictions"
KINDS = (LOST, TWICE, LEFT, CONTRADICTION)
MAX_CRASHES = 3  # as the workers are configured
GRACE = 15  # seconds after a fault in which what it did may still show


@dataclasses.dataclass
class Finding:
    kind: str
    text: str
    jobs: list  # whose events and log lines say more


def marks(stage):
    """What must not change: every file that is none of ours, and the guests."""
    found = {}
    for host in stage.hosts.values():
        for path in [*host.gold.iterdir(), *host.work.glob("foreign*"), *host.work.glob("letter*")]:
            status = path.stat()
            found[host.name, path.name] = (hashlib.sha256(path.read_bytes()).hexdigest(), status.st_size,
                                           status.st_mtime_ns, status.st_ino, status.st_mode)
        for guest in "foreign-guest", "foreign-runs":
            found[host.name, guest] = host.ask(lambda c, name=guest: look(c.lookupByName(name)))
        found[host.name, "emulator"] = host.emulators().get("foreign-runs")
    return found


def look(domain):
    return domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), domain.ID(), domain.state()[0]


class Judge:
    def __init__(self, stage, record, proof, jobs, faults, before, doubtful):
        self.stage, self.record, self.proof, self.jobs = stage, record, proof, jobs
        self.faults, self.before, self.doubtful = faults, before, doubtful
        self.findings = []
        self.expected = set()  # (host, file) and (host, guest) that may be there
        self.sent = [job for job in jobs if job.sent is not None]
        self.ended = [job for job in self.sent if self.record.outcome(job) is not None]
        self.crashed = {job.id for job in self.ended
                        if self.record.outcome(job).get("error", {}).get("code") == "crashed"}

    def find(self, kind, text, *jobs):
        self.findings.append(Finding(kind, text, list(jobs)))

    def orphans(self, asked):
        """Of `asked`, the jobs that have looked for orphans: of what was found, only jobs that crashed may have left it, or one
        that was to keep what a failure leaves: a record, too, which does not even say whose it is."""
        kept = {effect.name for job in self.ended for effect in job.effects
                if job.keeps and effect.kind == "volume" and self.record.outcome(job)["state"] != "succeeded"}
        for job in asked:
            outcome = self.record.outcome(job)
            if outcome is None or outcome["state"] != "succeeded":
                self.find(CONTRADICTION, "nobody looked for orphans", job)
                continue
            for orphan in outcome["result"]["orphans"]:
                if orphan["verdict"] == "unclear" or orphan["stamp"].get("job") in self.crashed:
                    continue
                if orphan["kind"] != "record" or orphan["volume"] not in kept:
                    self.find(LEFT, f"orphan on {job.host}: {json.dumps(orphan)}",
                              *[j for j in self.sent if j.id == orphan["stamp"].get("job")])

    def run(self, results, dead):
        """`results`: the bodies in the results queue; `dead`: (reason, job id) of each message in the dead queue."""
        for job in self.sent:
            self.outcomes(job)
        for job in self.ended:
            self.outcome(job, self.record.outcome(job))
        self.results(results)
        self.things()
        self.leftovers()
        self.foreign()
        self.dead(dead)
        self.workers()
        return self.findings

    # Outcomes: one each.

    def outcomes(self, job):
        came = self.record.outcomes.get(job.id, [])
        if not came:
            self.find(LOST, f"{job.type} {job.id} has no outcome", job)
        different = {event.body for event in came}
        if len(different) > (2 if job.id in self.doubtful else 1):
            self.find(TWICE, f"{job.type} {job.id} has {len(different)} outcomes that differ", job)
        if any(json.loads(event.body)["id"] != f"{job.id}/outcome" for event in came):
            self.find(CONTRADICTION, f"an outcome of {job.id} has another id", job)

    def results(self, bodies):
        mine = {event.body for events in self.record.outcomes.values() for event in events}
        theirs = set(bodies)
        by_id = {job.id: job for job in self.sent}
        for body in mine ^ theirs:
            id = json.loads(body)["subject"]
            where = "events" if body in mine else "the results queue"
            self.find(TWICE, f"only {where} has this outcome of {id}", *([by_id[id]] if id in by_id else []))
        for id in {json.loads(body)["subject"] for body in theirs} - set(by_id):
            self.find(TWICE, f"an outcome of {id}, which nobody has sent")

    # What an outcome says of its job.

    def disturbed(self, job):
        """Whether something happened to it meanwhile for which it may have been begun again."""
        if job.ended - job.sent > self.stage.ack_timeout - 5:  # it may have outlasted the broker's patience
            return True
        return any(fault.begun < job.ended and (fault.ended or job.ended) + GRACE > job.sent and
                   (job.host == "any" or job.host in fault.hosts or not fault.hosts)
                   for fault in self.faults.happened)

    def outcome(self, job, outcome):
        state, error = outcome["state"], outcome.get("error", {})
        for wrong in [*job.proofs, *self.told(job, outcome), *getattr(self, f"_{state}")(job, outcome, error)]:
            self.find(CONTRADICTION, f"{job.type} {job.id} {state}: {wrong}", job)

    def told(self, job, outcome):
        host = self.record.host_of(job)
        if outcome["job"]["id"] != job.id or outcome["job"].get("type") != job.type:
            yield f"it is told of {outcome['job']}"
        if host is not None and job.host not in ("any", host):
            yield f"it was done on {host} in place of {job.host}"
        if outcome["attempts"] > 6:
            yield f"{outcome['attempts']} attempts"
        if outcome.get("adopted") and not self.disturbed(job):
            yield "adopted, but nothing had happened"

    def _succeeded(self, job, outcome, _error):
        if job.fails:
            yield f"it had to fail with {job.fails}"
        if job.deadline is not None and job.deadline < 0:
            yield "its deadline had passed before it was sent"
        creates = [effect for effect in job.effects if effect.verb in ("make", "define", "provision")]
        if creates and not outcome["changed"]:
            yield "created, but nothing changed"
        if self._ordered_in_time(job):
            yield "the order to cancel it came before it"

    def _ordered_in_time(self, job):
        """Nothing stood between the order and the job."""
        if job.cancel is None or job.cancel.moment != "before":
            return False
        return not any(fault.begun < job.ended and (fault.ended or job.ended) + GRACE > job.cancel.ordered
                       for fault in self.faults.happened)

    def _failed(self, job, _outcome, error):
        code = error["code"]
        if code in job.fails or code in (history.CONFLICT, history.NOT_FOUND) and job.effects and not job.fails:
            return  # the latter is the history's to say
        if code == "crashed" and self._kills(job) < MAX_CRASHES - 1:  # a redelivery alone counts as one, too
            yield f"of all workers only {self._kills(job)} were killed meanwhile"
        if code not in plan.PASSING:
            yield f"{code}: {error['message']}"
        elif not self.disturbed(job) and not job.story.startswith(("contest", "rash")):
            yield f"{code}, but nothing had happened: {error['message']}"

    def _kills(self, job):
        hosts = self.stage.hosts if job.host == "any" else [job.host]
        return sum(1 for fault in self.faults.happened
                   if job.sent - 1 < fault.begun < job.ended and (
                       fault.fault.kind == "worker-kill" and fault.what.rsplit("-", 1)[0] in hosts or
                       fault.fault.kind == "worker-kill-both" and fault.what in hosts))

    def _cancelled(self, job, _outcome, _error):
        if job.cancel is None or job.cancel.ordered is None:
            yield "nobody has ordered it"

    def _expired(self, job, _outcome, _error):
        if job.deadline is None:
            yield "it has no deadline"
        elif job.deadline > job.ended - job.sent + 1:
            yield f"{job.deadline:.1f} s had not passed"

    def _uncertain(self, job, _outcome, error):
        if not self.disturbed(job):
            yield f"nothing had happened: {error['message']}"

    # Things: what jobs made, and what there is.

    def things(self):
        steps = collections.defaultdict(list)
        for job in self.ended:
            for effect in job.effects:
                steps[effect.kind, effect.name].append(
                    history.Step(job, effect, self.record.outcome(job), self.disturbed(job)))
        unknown = {(e.kind, e.name) for job in self.sent if job not in self.ended for e in job.effects}
        guests = {host.name: host.guests() for host in self.stage.hosts.values()}
        for (kind, name), mine in steps.items():
            there = self._volume_on(name) if kind == "volume" else \
                [host for host, found in guests.items() if name in found]
            self.expected |= {(host, kind, name) for host in there}
            jobs = [step.job for step in mine]
            if len(there) > 1:
                self.find(TWICE, f"{kind} {name} is on {there}", *jobs)
            if (kind, name) in unknown:
                continue
            final = self._final_volume(mine, name, there) if kind == "volume" else \
                self._final_guest(name, there, guests)
            if not history.explained(mine, final):
                self._unexplained(kind, name, mine, there, jobs)

    def _volume_on(self, name):
        return [host.name for host in self.stage.hosts.values() if (host.work / name).exists()]

    def _final_volume(self, steps, name, there):
        """Of a volume that is there, the content tells who has made it."""
        host = self.stage.hosts[there[0]] if there else None
        makers = {step.job.id for step in steps if there and step.effect.verb == "make" and
                  self.record.host_of(step.job) == host.name and not self.proof.volume(step.effect, host)}
        return lambda state: state in makers if there else state is None or state in self.crashed

    def _final_guest(self, name, there, guests):
        final = guests[there[0]][name] if there else None
        return lambda state: state == final or not there and state[0] in self.crashed

    def _unexplained(self, kind, name, steps, there, jobs):
        story = "; ".join(f"{s.effect.verb} {s.state}{' ' + s.code if s.code else ''}{'' if s.changed else ' unchanged'}"
                          f"{' (disturbed)' if s.disturbed else ''}" for s in steps)
        made = any(s.state == "succeeded" and s.effect.verb in ("make", "define", "provision") for s in steps)
        self.find(LEFT if there and not made else CONTRADICTION,
                  f"{kind} {name} is {'on ' + there[0] if there else 'not there'}, in spite of: {story}", *jobs)

    def leftovers(self):
        for host in self.stage.hosts.values():
            for path in host.work.iterdir():
                known = (host.name, "volume", path.name) in self.expected or (host.name, path.name) in self.before
                if not known:
                    self.find(LEFT, f"file {path}: {path.stat().st_size} bytes",
                              *[job for job in self.sent if path.name.startswith(f"{job.story}-")])
            guests = host.guests()
            for name in guests:
                if (host.name, "guest", name) not in self.expected and (host.name, name) not in self.before:
                    self.find(LEFT, f"guest {name} on {host.name}", *[j for j in self.sent if name.startswith(f"{j.story}-")])
            for name, process in host.emulators().items():
                if not guests.get(name, (None, False))[1]:
                    self.find(LEFT, f"process {process} of guest {name} on {host.name}, which libvirt does not know",
                              *[j for j in self.sent if any(e.name == name for e in j.effects)])

    def foreign(self):
        after = marks(self.stage)
        for key, mark in self.before.items():
            if after.get(key) != mark:
                self.find(CONTRADICTION, f"{key} is none of ours, and has changed")

    def dead(self, messages):
        by_id = {job.id: job for job in self.sent}
        for reason, id in messages:
            if id not in self.crashed:
                self.find(CONTRADICTION, f"{id} is in {PREFIX}.dead: {reason}", *([by_id[id]] if id in by_id else []))
        for id in self.crashed - {id for _reason, id in messages}:
            self.find(CONTRADICTION, f"{id} has crashed its workers, and is not in {PREFIX}.dead", by_id[id])

    def workers(self):
        for worker in self.stage.workers:
            for end in worker.exits:
                if not end.wanted:
                    self.find(CONTRADICTION, f"worker {worker.name} ended by itself with {end.status}")
            complaint = COMPLAINTS.search(worker.everything())
            if complaint:
                self.find(CONTRADICTION, f"worker {worker.name}: {complaint.group()}; see its log")
        for text in self.faults.failed:
            self.find(CONTRADICTION, text)
        for event in self.record.strays:
            self.find(CONTRADICTION, f"an event with the key {event.key}")


