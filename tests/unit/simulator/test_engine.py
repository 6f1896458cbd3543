"""The engine's clocks give what a simulation of every step gives."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from facet.simulator.engine import SimulatedEngine
from facet.simulator.pod_model import PodModel
from facet.simulator.request import Request
from tests.support.simulated_pods import PLAIN, SPECULATING

pytestmark = pytest.mark.unit


class Steps:
    """A slow engine: step by step, and each sequence's tokens one after the other."""

    def __init__(self, model: PodModel, requests: list[tuple[float, int, int]]) -> None:
        self.now = 0.0
        self.first: dict[int, float] = {}
        self.last: dict[int, float] = {}
        self._model = model
        self._requests = requests
        self._waiting = list(range(len(requests)))
        self._batch: list[int] = []
        self._chunk = 0.0
        self._steps_left = 0
        self._left: dict[int, float] = {}

    def run(self) -> dict[int, tuple[float, float]]:
        while len(self.last) < len(self._requests):
            if not self._batch:
                self._fill()
            if not self._batch and not self._left:
                self.now = self._requests[self._waiting[0]][0]
            else:
                self._step()
        return {number: (self.first[number], self.last[number]) for number in self.first}

    def _fill(self) -> None:
        tokens, most = 0, self._model.batched_tokens
        while self._waiting and self._requests[self._waiting[0]][0] <= self.now:
            size = self._requests[self._waiting[0]][1]
            if self._batch and tokens + size > most:
                break
            tokens += size
            self._batch.append(self._waiting.pop(0))
        self._steps_left = math.ceil(tokens / most)
        self._chunk = tokens / max(self._steps_left, 1)

    def _step(self) -> None:
        model, running = self._model, len(self._left)
        self.now += model.step_seconds[running]
        self.now += self._chunk * model.prefill_token_seconds if self._batch else 0.0
        for number in self._left:
            self._left[number] -= model.tokens_per_step[running]
        if self._batch:
            self._steps_left -= 1
            if self._steps_left == 0:
                self.first |= dict.fromkeys(self._batch, self.now)
                self._left |= {n: self._requests[n][2] - 1.0 for n in self._batch}
                self._batch = []
        ended = [number for number, left in self._left.items() if left <= 1e-9]
        for number in ended:
            del self._left[number]
            self.last[number] = self.now


def by_clocks(
    model: PodModel, requests: list[tuple[float, int, int]]
) -> dict[int, tuple[float, float]]:
    engine, waiting = SimulatedEngine(model), list(enumerate(requests))
    numbers: dict[Request, int] = {}
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    while len(last) < len(requests):
        due = engine.next_seconds()
        if waiting and waiting[0][1][0] < due:
            number, (at, prompt, output) = waiting.pop(0)
            request = Request(at, prompt, output)
            numbers[request] = number
            engine.enter(request, at)
            continue
        started, ended = engine.run_to(due)
        first |= {numbers[each]: due for each in started}
        last |= {numbers[each]: due for each in ended}
    return {number: (first[number], last[number]) for number in first}


@pytest.mark.parametrize("model", [PLAIN, SPECULATING], ids=["plain", "speculating"])
@pytest.mark.parametrize("seed", range(5))
def test_times_equal_those_of_every_step_when_the_batch_changes(model: PodModel, seed: int) -> None:
    chance = random.Random(seed)
    at, requests = 0.0, []
    for _ in range(model.max_sequences):
        at += chance.expovariate(2.0)
        requests.append((at, chance.randrange(20, 700), chance.randrange(1, 120)))

    stepped, clocked = Steps(model, requests).run(), by_clocks(model, requests)

    # A request enters with the next step, and ends with one: two of the longest steps at most.
    longest = model.step_seconds[-1] + model.batched_tokens * model.prefill_token_seconds
    for number, (first, last) in stepped.items():
        assert clocked[number][0] == pytest.approx(first, abs=2 * longest)
        assert clocked[number][1] == pytest.approx(last, rel=0.05, abs=2 * longest)


def test_a_request_alone_takes_its_prompt_and_its_steps() -> None:
    first, last = by_clocks(PLAIN, [(0.0, 100, 10)])[0]

    assert first == pytest.approx(0.05 + 0.1)
    assert last - first == pytest.approx(9 * 0.06)


def test_a_long_prompt_takes_several_steps_when_it_exceeds_one() -> None:
    first, _ = by_clocks(PLAIN, [(0.0, 500, 1)])[0]

    assert first == pytest.approx(3 * 0.05 + 500 * 0.001)


def test_tokens_that_were_given_are_kept_when_the_engine_stops() -> None:
    engine, request = SimulatedEngine(PLAIN), Request(0.0, 100, 50)
    engine.enter(request, 0.0)
    first = engine.next_seconds()
    assert engine.run_to(first) == ([request], [])

    inside = engine.empty(first + 6.5 * 0.06)

    assert inside == [request]
    assert request.given_tokens == 7
    assert len(engine) == 0
    assert engine.next_seconds() == math.inf


def test_only_what_is_left_is_given_when_a_request_goes_on_elsewhere() -> None:
    engine, request = SimulatedEngine(PLAIN), Request(0.0, 100, 50, given_tokens=40)
    engine.enter(request, 0.0)
    first = engine.next_seconds()
    engine.run_to(first)

    # Its own tokens are computed again with the prompt, one comes with that, nine are left.
    assert first == pytest.approx(0.05 + 0.14)
    assert engine.next_seconds() == pytest.approx(first + 9 * 0.06)


def test_steps_and_mean_batch_are_told_when_a_request_ends() -> None:
    model = dataclasses.replace(PLAIN, batched_tokens=1000)
    engine = SimulatedEngine(model)
    requests = [Request(0.0, 100, 11), Request(0.0, 100, 11)]
    for request in requests:
        engine.enter(request, 0.0)
    while (due := engine.next_seconds()) < math.inf:
        _, ended = engine.run_to(due)
        for request in ended:
            told = engine.decoded(request, due)

    assert told.steps == pytest.approx(10, rel=0.15)
    assert 1.5 <= told.batch <= 2.0
