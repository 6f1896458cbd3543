"""vLLM's outputs to steps of the port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facet.core.errors import EngineFailedError
from facet.worker.engine.port import EngineFinish, EngineTimes, Step, TokenLogprob
from facet.worker.engine.speculation import SpeculationCounter


def step_of(output: Any, counter: SpeculationCounter, tokenizer: Any, top: int | None) -> Step:
    """The step that a RequestOutput in DELTA mode brings.

    `tokenizer` is a `tokenizers.Tokenizer`. `top` is how many alternatives were asked for with each
    id, None for no log probabilities. Errors: EngineFailedError.
    """
    completion = output.outputs[0]
    ids = tuple(completion.token_ids)
    finish = None
    if completion.finish_reason is not None:
        if completion.finish_reason not in ("stop", "length"):
            raise EngineFailedError(f"the engine ended the request: {completion.finish_reason}")
        finish = EngineFinish(completion.finish_reason)
    is_first = counter.is_fresh
    drafted, accepted = counter.count(len(ids), completion.spec_decode_metrics)
    logprobs = () if top is None else _logprobs(ids, completion.logprobs, tokenizer, top)
    return Step(
        token_ids=ids,
        finish=finish,
        logprobs=logprobs,
        drafted_tokens=drafted,
        accepted_tokens=accepted,
        cached_prompt_tokens=(output.num_cached_tokens or 0) if is_first else 0,
        engine_times=_times(output.metrics) if is_first or finish is not None else None,
    )


def _times(stats: Any | None) -> EngineTimes | None:
    """Of vLLM's RequestStateStats, whose moments are on the engine's monotonic clock."""
    if stats is None or not stats.first_token_ts:
        return None
    return EngineTimes(
        queue_seconds=stats.scheduled_ts - stats.queued_ts,
        prefill_seconds=stats.first_token_ts - stats.scheduled_ts,
        decode_seconds=stats.last_token_ts - stats.first_token_ts,
        preemptions=stats.num_preemptions,
    )


def _logprobs(
    ids: Sequence[int], positions: Sequence[Mapping[int, Any]], tokenizer: Any, top: int
) -> tuple[TokenLogprob, ...]:
    """One entry an id. vLLM gives the chosen id with its rank beside the `top` best ones."""

    def text(token_id: int) -> str:
        return str(tokenizer.decode([token_id], skip_special_tokens=False))

    entries = []
    for token_id, position in zip(ids, positions, strict=True):
        best = sorted(
            (each.rank, other, each.logprob) for other, each in position.items() if each.rank <= top
        )
        alternatives = tuple((other, text(other), logprob) for _, other, logprob in best)
        entries.append(
            TokenLogprob(token_id, text(token_id), position[token_id].logprob, alternatives)
        )
    return tuple(entries)
