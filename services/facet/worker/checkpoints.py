"""Brings the weights that the settings name to this machine, before the engine is made."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from facet.profiles.catalogue import NANO_CPU, PROFILES
from facet.weights.cached import default_cache
from facet.weights.progress import logged
from facet.weights.sources import Fetching, resolve_all
from facet.worker.engine.port import EngineSettingsError
from facet.worker.settings import WorkerSettings

_STREAMER = "runai_model_streamer"


@dataclass(frozen=True)
class Checkpoints:
    """Local directories of the target and of its MTP drafter."""

    target: Path
    drafter: Path


async def local_checkpoints(settings: WorkerSettings) -> Checkpoints:
    """Find or download both, of a profile by name; cancelling it ends a download at its next chunk.

    The simulated engine reads none: of it, only what the settings name is fetched.
    Errors: WeightsError; EngineSettingsError where nothing here reads `load_format`.
    """
    is_simulated = settings.engine == "simulated"
    if not is_simulated:
        _check_format(settings.load_format)
    profile = NANO_CPU if is_simulated else PROFILES[settings.profile]
    fetching = Fetching(logged(), default_cache(settings.weights_cache), settings.offline)
    target, drafter = await resolve_all(
        (
            settings.weights or profile.target.source,
            settings.drafter_weights or profile.drafter.source,
        ),
        fetching,
    )
    return Checkpoints(target, drafter)


def _check_format(load_format: str) -> None:
    # vLLM would say it after the download, in the engine's process.
    if load_format == "runai_streamer" and find_spec(_STREAMER) is None:
        raise EngineSettingsError(
            "load_format runai_streamer needs the package runai-model-streamer, which is not "
            "installed: take the CUDA image (requirements/worker-cuda.txt), or unset "
            "FACET_WORKER_LOAD_FORMAT"
        )
