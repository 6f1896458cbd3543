"""How a request goes on that an earlier attempt began."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from enum import Enum

from facet.api.v1 import generation_pb2
from facet.core.errors import UnresumableError
from facet.queue.values import Claimed
from facet.worker.engine.port import Engine, Step


class Continuation(Enum):
    """What becomes of the ids in the log."""

    EXACT = "exact"
    # The engine goes on behind them.
    REPEAT = "repeat"
    # The engine makes them again: a greedy answer comes out the same, or the request fails.
    RESTART = "restart"
    # They are void: the client accepts another answer.


def continuation(
    request: generation_pb2.GenerationRequest, claimed: Claimed, engine: Engine
) -> Continuation:
    """The best that can be done. Errors: UnresumableError."""
    if not claimed.token_ids:
        return Continuation.EXACT
    if claimed.fingerprint == engine.fingerprint and engine.can_resume(request):
        return Continuation.EXACT
    config = request.generation_config
    if request.accept_restart:
        return Continuation.RESTART
    if config.HasField("temperature") and config.temperature == 0:
        return Continuation.REPEAT
    raise UnresumableError(
        "its worker was lost and no other can continue this answer exactly; set accept_restart to "
        "have it started over"
    )


async def behind(
    steps: AsyncGenerator[Step, None], ids: Sequence[int]
) -> AsyncGenerator[Step, None]:
    """The steps of a repeated answer behind the ids that are logged; closing it closes `steps`.

    Errors: UnresumableError when it does not begin with them.
    """
    left = tuple(ids)
    async with aclosing(steps):
        async for step in steps:
            repeated, new = step.token_ids[: len(left)], step.token_ids[len(left) :]
            if repeated != left[: len(repeated)]:
                break
            left = left[len(repeated) :]
            if step.finish is not None and left:
                break
            if new or step.finish is not None:
                yield replace(step, token_ids=new, logprobs=step.logprobs[len(repeated) :])
        else:
            return
    raise UnresumableError("its worker was lost, and the answer came out otherwise when repeated")
