# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""What is printed: figures, and for each finding all that is known of its jobs. A failed run leaves its logs in a folder."""

import collections
import json
import pathlib
import shutil

import judge

SHOWN = 20  # findings that are told at length


def figures(stage, record, driver, faults, proof, seconds):
    states, codes = collections.Counter(), collections.Counter()
    adopted = retried = copies = 0
    for job in driver.jobs:
        outcome = record.outcome(job)
        if outcome is None:
            continue
        states[outcome["state"]] += 1
        codes[outcome.get("error", {}).get("code")] += 1
        adopted += bool(outcome.get("adopted"))
        retried += outcome["attempts"] > 1
        copies += max(0, sum(not event.redelivered for event in record.outcomes[job.id]) - 1)
    del codes[None]
    sent = [job for job in driver.jobs if job.sent is not None]
    kinds = collections.Counter(fault.fault.kind for fault in faults.happened)
    ordered = [job for job in sent if job.cancel is not None and job.cancel.ordered is not None]
    told = sum(any(event.state == "not-cancelled" for event in record.events[job.id]) for job in ordered)
    late = [job for job in ordered if (record.outcome(job) or {}).get("state") != "cancelled"]
    handovers = [seconds for worker in stage.workers for seconds in worker.handovers]
    yield f"{len(sent)} jobs of {len({job.story for job in sent})} stories in {seconds:.0f} s: {listed(states)}"
    yield f"errors: {listed(codes) or 'none'}"
    yield f"{adopted} adopted, {retried} retried, {copies} copies of outcomes, {len(driver.doubtful)} sent in doubt"
    yield f"{len(ordered)} orders to cancel: {len(late)} came too late, of which {told} were told so"
    yield f"{len(faults.happened)} faults: {listed(kinds) or 'none'}"
    yield f"{proof.compared} volumes compared, {proof.looked} jobs looked at when they ended"
    if handovers:
        yield f"{len(handovers)} workers asked to end: {max(handovers):.1f} s at most, {sorted(handovers)[len(handovers) // 2]:.1f} s mostly"


def listed(counter):
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def verdict(findings):
    counts = collections.Counter(finding.kind for finding in findings)
    return ", ".join(f"{counts[kind]} {kind}" for kind in judge.KINDS)


def tell(finding, stage, record, begun):
    """A finding at length: the job as it was sent, its events, and what the workers logged of it."""
    lines = [f"--- {finding.kind}: {finding.text}"]
    for job in finding.jobs[:4]:
        lines.append(f"  job {job.id}: {json.dumps({**job.members, 'params': job.params})[:700]}")
        if job.cancel is not None:
            lines.append(f"    to be cancelled: {job.cancel.moment}, ordered at {job.cancel.ordered and job.cancel.ordered - begun}")
        lines.append(f"    sent at {job.sent - begun:.2f}")
        lines += [f"    {event.time - begun:.2f} {event.state}{said(event)}"
                  for event in record.events.get(job.id, []) if event.state != "progress"]
        lines += [f"    {worker.name}: {line}" for worker in stage.workers for line in worker.everything().splitlines()
                  if job.id in line]
    return "\n".join(lines)


def said(event):
    data = {key: value for key, value in event.data.items() if key != "job"}
    return f" {json.dumps(data)[:900]}" if data else ""


def history(faults, begun):
    return [f"{fault.begun - begun:8.2f} {(fault.ended or 0) - begun:8.2f} fault {fault.fault.number} {fault.fault.kind} "
            f"{fault.what} {fault.note}" for fault in faults.happened]


def keep(place, text, stage, record, faults, begun):
    """Everything, for a look at it afterwards."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "report").write_text(text)
    (place / "faults").write_text("\n".join(history(faults, begun)) + "\n")
    with open(place / "events", "w", encoding="utf-8") as file:
        for event in sorted((e for events in record.events.values() for e in events), key=lambda e: e.time):
            file.write(f"{event.time - begun:.3f} {event.key} {event.body.decode()}\n")
    for worker in stage.workers:
        (place / f"{worker.name}.log").write_text(worker.everything())
    for log in pathlib.Path(stage.broker.directory).glob("**/log/*.log"):
        shutil.copy(log, place / f"broker-{log.name}")
