"""Brings the weights that the settings name to this machine, before the engine is made."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from facet.profiles.catalogue import NANO_CPU, PROFILES
from facet.weights.cached import Cache, default_cache
from facet.weights.location import BucketPrefix, parse
from facet.weights.progress import logged
from facet.weights.sources import Fetching, resolve_all
from facet.worker.engine.port import EngineSettingsError
from facet.worker.settings import WorkerSettings

_STREAMER_FORMAT, _STREAMER_MODULE = "runai_streamer", "runai_model_streamer"


@dataclass(frozen=True)
class Checkpoints:
    """Local directories of the target and of its MTP drafter.

    `streamed` is the gs:// location of the target's safetensors, where they are not in `target`.
    """

    target: Path
    drafter: Path
    streamed: str = ""


async def local_checkpoints(settings: WorkerSettings) -> Checkpoints:
    """Find or download both, of a profile by name; cancelling it ends a download at its next chunk.

    With `load_format` runai_streamer the safetensors of a target in a bucket stay there. The
    simulated engine reads none: for it, only what the settings name is fetched.
    Errors: WeightsError; EngineSettingsError where nothing here reads `load_format`.
    """
    is_simulated = settings.engine == "simulated"
    if not is_simulated:
        _check_format(settings.load_format)
    profile = NANO_CPU if is_simulated else PROFILES[settings.profile]
    fetching = Fetching(logged(), default_cache(settings.weights_cache), settings.offline)
    sources = (
        settings.weights or profile.target.source,
        settings.drafter_weights or profile.drafter.source,
    )
    is_streamed = not is_simulated and _is_streamed(settings, sources[0], fetching.cache)
    target, drafter = await resolve_all(
        sources, fetching, streamed=sources[:1] if is_streamed else ()
    )
    return Checkpoints(target, drafter, str(parse(sources[0])) if is_streamed else "")


def _is_streamed(settings: WorkerSettings, source: str, cache: Cache) -> bool:
    """Whether the engine reads a bucket itself: it can, may, and no copy of it is here."""
    location = parse(source)
    return (
        settings.load_format == _STREAMER_FORMAT
        and isinstance(location, BucketPrefix)
        and not settings.offline
        and cache.find(location) is None
    )


def _check_format(load_format: str) -> None:
    # vLLM would say it after the download, in the engine's process.
    if load_format == _STREAMER_FORMAT and find_spec(_STREAMER_MODULE) is None:
        raise EngineSettingsError(
            "load_format runai_streamer needs the package runai-model-streamer, which is not "
            "installed: take the CUDA image (requirements/worker-cuda.txt), or unset "
            "FACET_WORKER_LOAD_FORMAT"
        )
