"""What the runs of a worker share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from facet.core.media_store import MediaStore
from facet.worker.attempt import Telling
from facet.worker.engine.port import Engine
from facet.worker.measures import Measures
from facet.worker.occupancy import Occupancy


@dataclass
class Pulse:
    """Steps that the engine made, whatever request they were for."""

    steps: int = 0


@dataclass(frozen=True)
class Workplace:
    """What all runs of a worker share.

    `slots` bounds the candidates inside the engine: what was claimed ahead is fetched and rendered
    before it gets one.
    """

    worker: str
    engine: Engine
    media: MediaStore
    slots: asyncio.Semaphore
    pulse: Pulse = field(default_factory=Pulse)
    occupancy: Occupancy = field(default_factory=Occupancy)
    telling: Telling = field(default_factory=Telling)
    measures: Measures = field(default_factory=Measures)
