"""The workers' weights, fetched once in the foreground before any process starts."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from facet.core.settings import WeightsSettings
from facet.node.settings import NodeSettings
from facet.profiles.catalogue import NANO_CPU, PROFILES
from facet.weights.cached import default_cache
from facet.weights.progress import shown
from facet.weights.sources import Fetching, resolve_all


class _WorkerWeights(WeightsSettings):
    """What the workers inherit from the node's environment."""

    model_config = SettingsConfigDict(env_prefix="FACET_WORKER_", frozen=True, extra="ignore")


async def fetch_weights(settings: NodeSettings) -> None:
    """Bring both checkpoints into the cache, where the workers find them. Errors: WeightsError.

    For the simulated engine, which reads none, only what is named is fetched. Cancelling it ends a
    download at its next chunk; the next start goes on.
    """
    named = _WorkerWeights()
    profile = NANO_CPU if settings.engine == "simulated" else PROFILES[settings.profile]
    fetching = Fetching(shown(), default_cache(named.weights_cache), named.offline)
    sources = (
        named.weights or profile.target.source,
        named.drafter_weights or profile.drafter.source,
    )
    await resolve_all(sources, fetching)
