"""All pods of a simulation: starting, claiming, serving, ending."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from facet.autoscaler.signals import Phase
from facet.queue.limits import MAX_WAIT_MS, QueueLimits
from facet.simulator.faults import Faults
from facet.simulator.kernel import Kernel
from facet.simulator.pod import SimulatedPod
from facet.simulator.pod_model import PodModel
from facet.simulator.queueing import SimulatedQueue
from facet.simulator.request import Request

_NODE_RETRY_SECONDS = 15.0
"""How often a pod that found no node is tried again."""


class Observer(Protocol):
    """Hears what happens to requests and pods."""

    def first_token(self, request: Request, now: float) -> None:
        """The first token of a request came."""

    def ended(self, request: Request, pod: SimulatedPod, now: float) -> None:
        """A request has all its tokens."""

    def pod_ready(self, pod: SimulatedPod, now: float) -> None:
        """A pod began to claim."""

    def pod_gone(self, pod: SimulatedPod, now: float) -> None:
        """A pod costs nothing any more."""


class Fleet:
    """Pods by pool, as many as `resize` asked for last; what is lost is replaced.

    A pod that is told to go finishes what is in its engine within the model's drain time and hands
    the rest back. Those that start go first, then those that hold least.
    """

    def __init__(
        self,
        kernel: Kernel,
        queue: SimulatedQueue,
        model: PodModel,
        observer: Observer,
        *,
        cold_start_seconds: float,
        faults: Faults,
    ) -> None:
        self.pods: dict[str, SimulatedPod] = {}
        self._kernel = kernel
        self._queue = queue
        self._model = model
        self._observer = observer
        self._cold_start_seconds = cold_start_seconds
        self._faults = faults
        self._wanted: dict[str, int] = {}
        self._waiters: deque[SimulatedPod] = deque()
        self._named = 0

    def wanted(self, pool: str) -> int:
        """What was asked for last."""
        return self._wanted.get(pool, 0)

    @property
    def has_work(self) -> bool:
        """Whether any pod holds a request."""
        return any(pod.held for pod in self.pods.values())

    def members(self, pool: str) -> list[SimulatedPod]:
        """Pods of a pool that are not on their way out."""
        pods = self.pods.values()
        return [p for p in pods if p.pool == pool and p.phase is not Phase.TERMINATING]

    def begin_with(self, pool: str, count: int) -> None:
        """Have so many pods that are ready at once."""
        self._wanted[pool] = count
        for _ in range(count):
            self._ready(self._new(pool))

    def resize(self, pool: str, count: int) -> None:
        """Have so many pods."""
        self._wanted[pool] = count
        self._settle(pool)

    def close(self) -> None:
        """Pay no pod any more."""
        for pod in list(self.pods.values()):
            self._remove(pod)

    def submit(self, request: Request) -> None:
        """A request arrives; a waiting worker takes it."""
        self._queue.submit(request)
        if self._waiters:
            self._wake()

    def _wake(self) -> None:
        for _ in range(len(self._waiters)):
            if not self._queue.has_waiting:
                return
            pod = self._waiters.popleft()
            if pod.waits:
                pod.waits = False
                self._claim(pod)

    def _settle(self, pool: str) -> None:
        members = self.members(pool)
        surplus = len(members) - self.wanted(pool)
        for _ in range(-surplus):
            self._start(self._new(pool))
        if surplus > 0:
            members.sort(key=lambda pod: (pod.is_ready, len(pod.held), -pod.created_seconds))
            for pod in members[:surplus]:
                self._stop(pod)

    def _new(self, pool: str) -> SimulatedPod:
        self._named += 1
        pod = SimulatedPod(f"{pool}-{self._named}", pool, self._model, self._kernel.now)
        self.pods[pod.name] = pod
        return pod

    def _start(self, pod: SimulatedPod) -> None:
        shares = self._model.start_shares
        self._next(pod, shares.scheduling, self._schedule)

    def _schedule(self, pod: SimulatedPod) -> None:
        if not self._faults.has_node(pod.pool, self._kernel.now):
            # Nothing is paid for a pod without a node, but for the time that finding one takes.
            pod.paid_since_seconds = self._kernel.now + _NODE_RETRY_SECONDS
            pod.paid_since_seconds -= self._model.start_shares.scheduling * self._cold_start_seconds
            self._kernel.after(_NODE_RETRY_SECONDS, self._still(pod, self._schedule))
            return
        pod.enter(Phase.PULLING, self._kernel.now)
        self._next(pod, self._model.start_shares.pulling, self._load)

    def _load(self, pod: SimulatedPod) -> None:
        pod.enter(Phase.LOADING, self._kernel.now)
        self._next(pod, self._model.start_shares.loading, self._warm)

    def _warm(self, pod: SimulatedPod) -> None:
        pod.enter(Phase.WARMING, self._kernel.now)
        self._next(pod, self._model.start_shares.warming, self._ready)

    def _next(self, pod: SimulatedPod, share: float, begin: Callable[[SimulatedPod], None]) -> None:
        self._kernel.after(share * self._cold_start_seconds, self._still(pod, begin))

    def _still(self, pod: SimulatedPod, act: Callable[[SimulatedPod], None]) -> Callable[[], None]:
        """The action, unless the pod has entered another phase by then."""
        life = pod.life

        def run() -> None:
            if pod.life == life:
                act(pod)

        return run

    def _ready(self, pod: SimulatedPod) -> None:
        now = self._kernel.now
        pod.enter(Phase.READY, now)
        pod.ready_seconds = now
        self._observer.pod_ready(pod, now)
        if (after := self._faults.failure_after(pod.pool)) is not None:
            self._kernel.after(after, self._still(pod, self._fail))
        if (after := self._faults.loss_after(pod.pool)) is not None:
            self._kernel.after(after, self._still(pod, self._lose_node))
        self._claim(pod)

    def _claim(self, pod: SimulatedPod) -> None:
        now = self._kernel.now
        while self._queue.has_waiting:
            free = pod.free_sequences
            if free <= 0:
                return
            taken, result = self._queue.claim(pod.next_claim(free))
            if not taken:
                self._check_after(pod, result.next_check_ms / 1000)
                if not result.may_take_hints:
                    return
                break
            for request in taken:
                pod.take(request, now)
            self._reschedule(pod)
        if pod.waits or pod.free_sequences <= 0:
            return
        if pod.has_free_seat:
            pod.waits = True
            self._waiters.append(pod)
        else:
            self._check_after(pod, MAX_WAIT_MS / 1000)

    def _check_after(self, pod: SimulatedPod, seconds: float) -> None:
        if not pod.will_check:
            pod.will_check = True
            self._kernel.after(seconds, partial(self._check, pod))

    def _check(self, pod: SimulatedPod) -> None:
        """Ask again: what waited had no room in it, or was for another one."""
        pod.will_check = False
        if pod.is_ready and self._queue.has_waiting:
            self._leave_waiters(pod)
            self._claim(pod)

    def _leave_waiters(self, pod: SimulatedPod) -> None:
        if pod.waits:
            pod.waits = False
            self._waiters.remove(pod)

    def _reschedule(self, pod: SimulatedPod) -> None:
        due = pod.engine.next_seconds()
        # What comes later finds the pod when its present event is due.
        if due < pod.due_seconds:
            pod.due_seconds = due
            self._kernel.at(due, partial(self._serve, pod, due))

    def _serve(self, pod: SimulatedPod, due: float) -> None:
        if due != pod.due_seconds or pod.is_gone:
            return
        now = self._kernel.now
        pod.due_seconds = float("inf")
        started, ended = pod.engine.run_to(now)
        for request in started:
            if request.first_token_seconds < 0:
                request.first_token_seconds = now
                self._observer.first_token(request, now)
        for request in ended:
            pod.release(request)
            self._queue.finish(request)
            self._observer.ended(request, pod, now)
        if ended:
            self._refill(pod, now)
        self._reschedule(pod)

    def _refill(self, pod: SimulatedPod, now: float) -> None:
        pod.fill(now)
        if pod.is_ready:
            if self._queue.has_waiting:
                self._leave_waiters(pod)
            if not pod.waits:
                self._claim(pod)
        elif not pod.held:
            self._remove(pod)

    def _stop(self, pod: SimulatedPod) -> None:
        was_ready = pod.is_ready
        pod.enter(Phase.TERMINATING, self._kernel.now)
        self._leave_waiters(pod)
        self._hand_back(pod.release_ahead())
        if not was_ready or not pod.held:
            self._remove(pod)
        else:
            self._kernel.after(self._model.drain_seconds, self._still(pod, self._end_drain))

    def _end_drain(self, pod: SimulatedPod) -> None:
        if not pod.is_gone:
            self._hand_back(pod.release_all(self._kernel.now))
            self._remove(pod)

    def _remove(self, pod: SimulatedPod) -> None:
        pod.ended_seconds = self._kernel.now
        del self.pods[pod.name]
        self._queue.forget_worker(pod.name)
        self._observer.pod_gone(pod, self._kernel.now)

    def _lose_node(self, pod: SimulatedPod) -> None:
        """Spot capacity is taken away: with notice, so that the pod hands back what it has."""
        self._stop(pod)
        self._settle(pod.pool)

    def _fail(self, pod: SimulatedPod) -> None:
        """The engine dies: leases lapse, and the container starts again on its node."""
        self._leave_waiters(pod)
        lost = pod.release_all(self._kernel.now)
        pod.due_seconds = float("inf")
        self._kernel.after(QueueLimits().lease_ms / 1000, partial(self._reap, lost))
        self._load(pod)

    def _reap(self, lost: Iterable[Request]) -> None:
        for request in lost:
            self._queue.lose(request)
        self._wake()

    def _hand_back(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._queue.hand_back(request)
        self._wake()
