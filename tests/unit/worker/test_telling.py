"""What a worker tells of its start."""

from __future__ import annotations

import pytest

from facet.core.models import NANO
from facet.worker.engine.port import EngineSettingsError, StartTimes
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.measures import Measures
from facet.worker.telling import start_timed

pytestmark = pytest.mark.unit


class Engine(SimulatedEngine):
    """Says that its start took this."""

    def __init__(self, times: StartTimes | None) -> None:
        super().__init__(SimulatedOptions(), NANO)
        self._times = times

    async def start(self) -> StartTimes:
        if self._times is None:
            raise EngineSettingsError("it cannot")
        return self._times


@pytest.mark.parametrize("times", [StartTimes(), StartTimes(2.0, 3.0)])
async def test_the_phases_are_told_apart_when_the_engine_knows_them(times: StartTimes) -> None:
    measures = Measures("nano", "pool")
    await start_timed(Engine(times), measures)
    engine = measures.start_seconds.pop("engine")
    assert measures.start_seconds == {
        "load": times.load_seconds,
        "warm_up": times.warm_up_seconds,
    }
    assert 0 <= engine < 1


async def test_no_phase_is_over_when_the_engine_does_not_start() -> None:
    measures = Measures("nano", "pool")
    with pytest.raises(EngineSettingsError):
        await start_timed(Engine(None), measures)
    assert not measures.start_seconds
