"""The policy's state as compact JSON, for a store."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from facet.autoscaler.policy.forecasting import Forecaster, Pending
from facet.autoscaler.policy.state import Gathered, PolicyState, PoolMemory, Sized
from facet.autoscaler.work import Modality, Work

VERSION = 2
"""Another one is not read: what was learned is learned anew within some start-up times."""


def to_json(state: PolicyState) -> str:
    """Compact text, some kilobytes; equal states give equal texts."""
    return json.dumps({"version": VERSION, **asdict(state)}, separators=(",", ":"), sort_keys=True)


def from_json(text: str) -> PolicyState:
    """The inverse. Errors: ValueError for another version, or what `to_json` did not write."""
    try:
        held = json.loads(text)
        version = held.pop("version")
        if version != VERSION:
            raise ValueError(f"policy state: version {version} is not {VERSION}; start anew")
        return PolicyState(
            **held
            | {
                "forecaster": _forecaster(held["forecaster"]),
                "mix": _work(held["mix"]),
                "recent": _work(held["recent"]),
                "urgent": _work(held["urgent"]),
                "gathered": Gathered(
                    held["gathered"]["seconds"],
                    _work(held["gathered"]["served"]),
                    _work(held["gathered"]["urgent"]),
                ),
                "history": tuple(Sized(**each) for each in held["history"]),
                "pools": {name: PoolMemory(**each) for name, each in held["pools"].items()},
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"policy state: not what was written: {error!r}; start anew") from error


def _forecaster(held: dict[str, Any]) -> Forecaster:
    pending = tuple(
        Pending(each["due_seconds"], tuple(each["values"])) for each in held.pop("pending")
    )
    lists = {name: tuple(value) for name, value in held.items() if isinstance(value, list)}
    return Forecaster(**held | lists, pending=pending)


def _work(held: dict[str, Any]) -> Work:
    prompts = {Modality(kind): tokens for kind, tokens in held["prompt_tokens"].items()}
    return Work(held["requests"], prompts, held["output_tokens"])
