# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors

"""Lets the faults of the plan happen: each at its moment in the jobs' progress, in a thread of its own, for recovery takes
a while and the next need not wait. What cannot be hit twice at a time has a lock."""

import collections
import dataclasses
import signal
import subprocess
import threading
import time
import traceback

import servers
from plan import Fault
from stage import mark_of

STALLED = 20  # seconds without an outcome, after which the next fault comes all the same

# Erlang, for rabbitmqctl eval. The process id is the one in the name that a worker's connection has for its link.
CONNECTIONS = """
Mine = [P || [{pid, P}, {client_properties, C}] <- rabbit_networking:connection_info_all([pid, client_properties]),
        is_list(C), case lists:keyfind(<<"connection_name">>, 1, C) of
            {_, _, N} -> re:run(N, "@.*:%d$") =/= nomatch; _ -> false end],
"""
CUT = CONNECTIONS + """[rabbit_networking:close_connection(P, "cut") || {P, I} <- lists:zip(Mine, lists:seq(1, length(Mine))),
    %s], length(Mine)."""
# The broker looks after its patience with a delivery in a tick: as if a minute had passed.
EXPIRE = CONNECTIONS + """
Old = fun(Conf) -> list_to_tuple([case V of %d -> 1; _ -> V end || V <- tuple_to_list(Conf)]) end,
State = fun(S) when element(1, S) =:= ch -> setelement(2, S, Old(element(2, S))); (Other) -> Other end,
Expire = fun(Ch) -> sys:replace_state(Ch, fun(S) -> list_to_tuple([State(V) || V <- tuple_to_list(S)]) end),
                    Ch ! tick end,
Of = fun(Ch) -> {_, P} = lists:keyfind(connection, 1, rabbit_channel:info(Ch, [connection])), lists:member(P, Mine) end,
length([Expire(Ch) || Ch <- rabbit_channel:list(), Of(Ch)])."""


@dataclasses.dataclass
class Happened:
    fault: object
    what: str
    hosts: set  # whose jobs it may have disturbed
    begun: float
    ended: float = None  # None: still on
    note: str = ""


class Faults:
    def __init__(self, stage, record, plan, count):
        self.stage, self.record, self.plan, self.count = stage, record, plan, count
        self.happened = []
        self.failed = []  # faults that could not be made: a fault of the machine
        self.locks = collections.defaultdict(threading.Lock)
        self.ended = threading.Event()
        self.threads = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self, until):
        """None begins after that time."""
        self.until = until
        self.thread.start()

    def end(self):
        """No more of them; waits until all is up again."""
        self.ended.set()
        for thread in [self.thread, *self.threads]:
            thread.join(120 * servers.SCALE)
        self.failed += [f"{thread.name} did not end" for thread in self.threads if thread.is_alive()]

    def _run(self):
        threshold = 0
        for fault in self.plan:
            threshold += fault.gap
            if self.count is not None and fault.number >= self.count or not self._moment(fault, threshold):
                return
            thread = threading.Thread(target=self._happen, args=(fault,), name=f"fault {fault.number}, {fault.kind}")
            self.threads.append(thread)
            thread.start()

    def _moment(self, fault, threshold):
        """Waits for it; False when it is too late for faults."""
        counts = self.record.counts
        while counts["outcome"] < threshold:
            before = counts["outcome"]
            self.record.wait(lambda: counts["outcome"] > before or self.ended.is_set(), STALLED)
            if self.ended.is_set():
                return False
            if counts["outcome"] == before:
                break
        before = counts[fault.event]
        self.record.wait(lambda: counts[fault.event] > before or self.ended.is_set(), 2)
        return not self.ended.wait(fault.delay) and time.monotonic() < self.until

    def _happen(self, fault):
        happened = Happened(fault, "", set(), time.monotonic())
        self.happened.append(happened)
        try:
            getattr(self, fault.kind.replace("-", "_"))(fault, happened)
        except Exception:  # told in the end
            self.failed.append(f"fault {fault.number}, {fault.kind}: {traceback.format_exc()}")
        happened.ended = time.monotonic()

    # Who is hit.

    def _host(self, fault, happened):
        hosts = list(self.stage.hosts.values())
        host = hosts[int(fault.target * len(hosts))]
        happened.hosts, happened.what = {host.name}, host.name
        return host

    def _worker(self, fault, happened):
        """Mostly the one that was last heard of among those of a host; the other stands by."""
        host = self._host(fault, happened)
        mine = sorted((w for w in self.stage.workers if w.host is host), key=lambda w: w.active)
        spread = fault.target * len(self.stage.hosts) % 1
        worker = mine[-1] if spread < 0.75 else mine[0]
        happened.what = worker.name
        happened.hosts = set(self.stage.hosts)  # jobs for any host may be with it
        return worker

    # Workers.

    def worker_kill(self, fault, happened):
        worker = self._worker(fault, happened)
        with self.locks[worker.name]:
            worker.hit(signal.SIGKILL).wait()

    def worker_kill_both(self, fault, happened):
        host = self._host(fault, happened)
        happened.hosts = set(self.stage.hosts)
        for worker in self.stage.workers:
            if worker.host is host:
                worker.hit(signal.SIGKILL)

    def worker_term(self, fault, happened):
        worker = self._worker(fault, happened)
        with self.locks[worker.name]:
            worker.hand_over()

    def worker_stop(self, fault, happened):
        """For longer than the heartbeat, or just so that all others overtake it."""
        worker = self._worker(fault, happened)
        with self.locks[worker.name]:
            process = worker.hit(signal.SIGSTOP)
            time.sleep(fault.length)
            process.send_signal(signal.SIGCONT)

    # Connections.

    def connection_cut(self, fault, happened):
        """All of a worker's, or every other."""
        worker = self._worker(fault, happened)
        which = "true" if fault.length > 2 else "I rem 2 == %d" % (fault.delay == 0)
        happened.note = self._eval(CUT % (worker.pid, which))

    def ack_timeout(self, fault, happened):
        worker = self._worker(fault, happened)
        happened.note = self._eval(EXPIRE % (worker.pid, mark_of(self.stage.ack_timeout)))

    def _eval(self, text):
        """Misses, where the broker is away."""
        with self.locks["broker"]:
            try:
                return self.stage.broker.ctl("-q", "eval", " ".join(text.split())).strip()
            except subprocess.CalledProcessError as error:
                return f"missed: {error}"

    # Servers.

    def libvirtd_kill(self, fault, happened):
        host = self._host(fault, happened)
        with self.locks[host.name]:
            host.order("kill")
            time.sleep(fault.length / 4)
            host.order("start")

    def libvirtd_restart(self, fault, happened):
        host = self._host(fault, happened)
        with self.locks[host.name]:
            try:
                host.order("restart")
            except subprocess.CalledProcessError:  # a daemon that hangs in a start does not end either
                host.order("kill")
                host.order("start")

    def broker_restart(self, fault, happened):
        self._broker("stop", fault, happened)

    def broker_kill(self, fault, happened):
        self._broker("kill", fault, happened)

    def _broker(self, how, fault, happened):
        happened.hosts, happened.what = set(self.stage.hosts), "broker"
        with self.locks["broker"], self.stage.gate:
            self.stage.broker_life += 1
            self.stage.broker.order(how)
            time.sleep(fault.length / 4)
            self.stage.broker.order("start")


class Leaders(Faults):
    """Of a cluster: every `period` seconds the node that leads the queue with the most jobs is killed, and started again."""

    def __init__(self, stage, record, period, duration):
        super().__init__(stage, record, None, None)
        self.period, self.duration = period, duration

    def _run(self):
        begun = time.monotonic()
        for number in range(int(self.duration / self.period)):
            self.ended.wait(max(0, begun + (number + 1) * self.period - time.monotonic()))
            if self.ended.is_set():
                return
            self._happen(Fault(number, 0, "outcome", 0, "leader-kill", 0, 0))

    def leader_kill(self, fault, happened):
        happened.hosts = set(self.stage.hosts)
        node = self.stage.broker.leader_of_busiest()
        happened.what = f"node {node}"
        with self.stage.gate:
            self.stage.broker_life += 1
            self.stage.broker.order("kill", node)
        self.stage.broker.order("start", node)
