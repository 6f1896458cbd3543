"""Brings the weights that the settings name to this machine, before the engine is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facet.profiles.catalogue import PROFILES
from facet.weights.cached import default_cache
from facet.weights.progress import logged
from facet.weights.sources import Fetching, resolve_all
from facet.worker.settings import WorkerSettings


@dataclass(frozen=True)
class Checkpoints:
    """Local directories of the target and of its MTP drafter."""

    target: Path
    drafter: Path


async def local_checkpoints(settings: WorkerSettings) -> Checkpoints:
    """Find or download both, of a profile by name; cancelling it ends a download at its next chunk.

    Errors: WeightsError.
    """
    profile = PROFILES[settings.profile]
    fetching = Fetching(logged(), default_cache(settings.weights_cache), settings.offline)
    target, drafter = await resolve_all(
        (
            settings.weights or profile.target.source,
            settings.drafter_weights or profile.drafter.source,
        ),
        fetching,
    )
    return Checkpoints(target, drafter)
