"""Brings the weights that the settings name to this machine, before the engine is made."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

from facet.profiles.catalogue import NANO_CPU
from facet.weights.cached import default_cache
from facet.weights.progress import logged
from facet.weights.sources import Fetching, resolve
from facet.worker.settings import WorkerSettings


@dataclass(frozen=True)
class Checkpoints:
    """Local directories of the target and of its MTP drafter."""

    target: Path
    drafter: Path


async def local_checkpoints(settings: WorkerSettings) -> Checkpoints:
    """Find or download both; cancelling it ends a download at its next chunk.

    Errors: WeightsError.
    """
    fetching = Fetching(logged(), default_cache(settings.weights_cache), settings.offline)
    answer: asyncio.Future[Checkpoints] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def settle(found: Checkpoints | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        elif found is not None:
            answer.set_result(found)

    def fetch() -> None:
        try:
            found = Checkpoints(
                resolve(settings.weights or NANO_CPU.target.source, fetching),
                resolve(settings.drafter_weights or NANO_CPU.drafter.source, fetching),
            )
        except Exception as error:  # noqa: BLE001 - handed to the waiting task, whatever it is
            outcome: tuple[Checkpoints | None, Exception | None] = (None, error)
        else:
            outcome = (found, None)
        if not fetching.stop.is_set():
            loop.call_soon_threadsafe(settle, *outcome)

    # A daemon: a read that hangs must not hold the end of the process.
    threading.Thread(target=fetch, name="weights", daemon=True).start()
    try:
        return await answer
    finally:
        fetching.stop.set()
