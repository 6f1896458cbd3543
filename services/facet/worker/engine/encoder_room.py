"""Whether media fit the engine's steps: vLLM does not say so, it hangs."""

from __future__ import annotations

from collections.abc import Mapping

from facet.worker.engine.port import EngineSettingsError


def check_encoder_room(tokens_per_item: Mapping[str, int], max_batched_tokens: int) -> None:
    """Two neighbouring items must fit the encoder cache together, see docs/adr/0004.

    `tokens_per_item` is the most that one item of each kind takes. Errors: EngineSettingsError.
    """
    if not tokens_per_item:
        return
    kind, largest = max(tokens_per_item.items(), key=lambda item: item[1])
    if max_batched_tokens < 2 * largest:
        raise EngineSettingsError(
            f"max_batched_tokens is {max_batched_tokens}, but the largest medium, one {kind} of "
            f"{largest} tokens, must fit twice: set at least {2 * largest}"
        )
