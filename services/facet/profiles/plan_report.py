"""A plan as lines for a person and as values for a script."""

from __future__ import annotations

import json
from typing import Any

from facet.profiles.kv import KvBytes
from facet.profiles.plan import Plan
from facet.profiles.profile import GIB
from facet.profiles.refusal import PlanRefusedError, RefusalReason

_IN_TOKENS = (RefusalReason.CONTEXT_LIMIT, RefusalReason.BATCHED_TOKENS)


def values(plan: Plan) -> dict[str, Any]:
    """For --json: sizes in bytes, lengths in tokens. The fields are stable (docs/planning.md)."""
    memory = plan.memory
    return {
        "profile": plan.profile.name,
        "model": plan.profile.model,
        "device": plan.profile.device.value,
        "fits": True,
        "target": plan.profile.target.source,
        "drafter": plan.profile.drafter.source,
        "download_bytes": plan.profile.download_bytes,
        "memory_bytes": {
            "total": memory.total,
            "usable": memory.usable,
            "head_room": memory.head_room,
            "weights": memory.weights,
            "drafter": memory.drafter,
            "runtime": memory.runtime,
            "node": memory.node,
            "activations": memory.activations,
            "kv_cache": memory.kv_bytes,
            "spare": memory.spare,
            "load_peak": memory.load_peak,
            "kv_at_admission": _kv_values(memory.kv_at_admission),
            "kv_steady": _kv_values(memory.kv_steady),
        },
        "max_model_len": plan.max_model_len,
        "max_num_seqs": plan.max_num_seqs,
        "max_num_batched_tokens": plan.max_num_batched_tokens,
        "steps_in_flight": plan.steps_in_flight,
        "kv_dtype": plan.kv_dtype.value,
        "speculative_tokens_by_batch": [list(entry) for entry in plan.depth_by_batch],
        "engine_arguments": plan.engine_arguments(),
        "node_selectors": list(plan.profile.placement.selectors()),
        "notes": list(plan.notes),
    }


def refusal_values(profile: str, refusal: PlanRefusedError) -> dict[str, Any]:
    """For --json; bytes are null where tokens decide, or no number."""
    in_bytes = refusal.reason not in _IN_TOKENS and refusal.needed > 0
    return {
        "fits": False,
        "profile": profile,
        "reason": refusal.reason.value,
        "message": refusal.message,
        "needed_bytes": refusal.needed if in_bytes else None,
        "available_bytes": refusal.available if in_bytes else None,
        "nearest": refusal.nearest,
    }


def lines(plan: Plan) -> list[str]:
    """The memory table and the engine's arguments."""
    memory = plan.memory
    table = [
        ("weights", memory.weights),
        ("drafter", memory.drafter),
        ("runtime", memory.runtime),
        ("gateway and Redis", memory.node),
        ("activations", memory.activations),
        ("KV cache", memory.kv_bytes),
        ("spare", memory.spare),
        ("head-room", memory.head_room),
        ("total", memory.total),
    ]
    depths = ", ".join(
        f"{depth} up to {last}" if last > 1 else f"{depth} at 1"
        for _, last, depth in plan.depth_by_batch
    )
    context = f"{plan.max_model_len} tokens"
    return [
        f"{plan.profile.name}: {plan.profile.model} from {plan.profile.target.source}",
        *(f"  {name:<18}{_gib(size)}" for name, size in table if size),
        f"  while loading     {_gib(memory.load_peak)}",
        f"KV cache in {plan.kv_dtype.value}, one sequence of {context}:",
        f"  at admission      {_kv_line(memory.kv_at_admission)}, steps in flight: "
        f"{plan.steps_in_flight}",
        f"  steady            {_kv_line(memory.kv_steady)}",
        f"{_sequences(plan.max_num_seqs)} of up to {context}, {plan.max_num_batched_tokens} tokens "
        f"a step; draft tokens by running sequences: {depths}",
        *plan.notes,
        "engine arguments:",
        *(f"  {name} = {json.dumps(value)}" for name, value in plan.engine_arguments().items()),
    ]


def _kv_values(kv: KvBytes) -> dict[str, int]:
    return {"sliding": kv.sliding, "full": kv.full, "total": kv.total}


def _kv_line(kv: KvBytes) -> str:
    return f"{_gib(kv.total)} (sliding {kv.sliding / GIB:.2f}, full {kv.full / GIB:.2f})"


def _sequences(number: int) -> str:
    return "1 sequence" if number == 1 else f"{number} sequences"


def _gib(size: int) -> str:
    return f"{size / GIB:6.2f} GiB"
