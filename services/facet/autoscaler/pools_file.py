"""The pools of workers, from the file that the chart writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facet.autoscaler.coefficients import ServiceCoefficients
from facet.autoscaler.policy import PoolSettings
from facet.autoscaler.work import Modality

Seconds = Annotated[float, Field(ge=0)]


class ScaledPool(BaseModel):
    """One pool. From `max_sequences` on: what counts until it is measured, see the profiles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    profile: str = ""
    deployment: str = ""
    min: Annotated[int, Field(ge=0)]
    max: Annotated[int, Field(ge=0)]
    spot: bool = False
    price_per_hour: Annotated[float, Field(ge=0)] = 0.0
    gpus: Annotated[int, Field(ge=0)]
    max_sequences: Annotated[int, Field(ge=1)]
    startup_seconds: Annotated[float, Field(gt=0)]
    prefill_token_seconds: Seconds
    step_base_seconds: Seconds
    step_sequence_seconds: Seconds
    tokens_per_step: Annotated[float, Field(ge=1)]

    @property
    def settings(self) -> PoolSettings:
        """As the policy takes it."""
        return PoolSettings(
            name=self.name,
            max_sequences=self.max_sequences,
            startup_seconds=self.startup_seconds,
            coefficients=ServiceCoefficients(
                prefill_token_seconds=dict.fromkeys(Modality, self.prefill_token_seconds),
                step_base_seconds=self.step_base_seconds,
                step_sequence_seconds=self.step_sequence_seconds,
                tokens_per_step=self.tokens_per_step,
            ),
            min_pods=self.min,
            max_pods=self.max,
            price_per_hour=self.price_per_hour,
            is_spot=self.spot,
            gpus=self.gpus,
        )


class _File(BaseModel):
    pools: tuple[ScaledPool, ...] = Field(min_length=1)


def read_pools(path: Path) -> tuple[ScaledPool, ...]:
    """The pools in order of preference.

    Errors: OSError; ValueError, which names file and field, for what is no list of pools.
    """
    try:
        pools = _File.model_validate(json.loads(path.read_text())).pools
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"{path}: {where}: {fault['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{path}: no JSON: {error}") from error
    names = [pool.name for pool in pools]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: pools: two have one name")
    return pools


def deployments_of(pools: Iterable[ScaledPool]) -> dict[str, str]:
    """The Deployment that each pool scales. Errors: ValueError where it has none of its own."""
    deployments: dict[str, str] = {}
    for pool in pools:
        if not pool.deployment:
            raise ValueError(f"pool {pool.name}: standalone needs its deployment")
        if pool.deployment in deployments.values():
            raise ValueError(f"pools: two scale one deployment, {pool.deployment}")
        deployments[pool.name] = pool.deployment
    return deployments
