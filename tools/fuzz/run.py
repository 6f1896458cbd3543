"""Plays many inputs in one process and counts what must not happen."""

from __future__ import annotations

import asyncio
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from facet.core.errors import FacetError
from facet.core.tasks import cancel_all
from facet.gateway.authenticator import AnonymousAuthenticator
from facet.worker.engine.media_decode import MediaDecoder
from tools.fuzz.case import Case, Target, save
from tools.fuzz.gateway import FuzzedGateway
from tools.fuzz.seeded import ToldError, check_untouched, seed
from tools.fuzz.targets import jwks, targets

# Each batch has a gateway of its own, so that what was queued before does not pile up.
BATCH = 1000
AT_ONCE = 250
# A case that takes longer holds up everybody else: that is a defect too.
CASE_SECONDS = 20.0
# What a medium may take to decode.
DECODE_SECONDS = 5.0


@dataclass
class Outcome:
    """Counts of inputs by target, and of those that were not handled."""

    by_target: Counter[str] = field(default_factory=Counter)
    unhandled: int = 0
    said: list[str] = field(default_factory=list)


async def play(first: int, last: int, seed: int, folder: Path) -> Outcome:
    """Play inputs `first` up to `last`; which they are, seed and number alone tell."""
    outcome = Outcome()
    for start in range(first, last, BATCH):
        async with AsyncExitStack() as stack:
            gateway, choice = await opened(stack)
            numbers = range(start, min(start + BATCH, last))
            for at in range(0, len(numbers), AT_ONCE):
                chunk = numbers[at : at + AT_ONCE]
                cases = [_case(choice, number, seed) for number in chunk]
                await asyncio.gather(*(_one(*each, outcome, folder) for each in cases))
            try:
                await check_untouched(gateway.queue)
            except (ToldError, FacetError) as error:
                outcome.unhandled += 1
                outcome.said.append(f"inputs {numbers}: {error}")
    return outcome


async def opened(stack: AsyncExitStack) -> tuple[FuzzedGateway, Sequence[Target]]:
    """A gateway with seeded generations, which runs until the stack is closed, and its targets."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "jwks.json").write_bytes(jwks())
    gateway = FuzzedGateway(AnonymousAuthenticator())
    await seed(gateway.queue)
    decoder = MediaDecoder(time_limit_seconds=DECODE_SECONDS)
    stack.callback(decoder.close)
    loops = [
        asyncio.create_task(run()) for run in (gateway.log_reader.run, gateway.work, gateway.sweep)
    ]
    stack.push_async_callback(cancel_all, loops)
    return gateway, targets(gateway, decoder, str(folder / "jwks.json"))


def _case(choice: Sequence[Target], number: int, seed: int) -> tuple[Target, Case, int]:
    target = choice[number % len(choice)]
    return target, target.make(Random(f"{seed}/{number}")), number


async def _one(target: Target, case: Case, number: int, outcome: Outcome, folder: Path) -> None:
    outcome.by_target[target.name] += 1
    try:
        async with asyncio.timeout(CASE_SECONDS):
            await target.run(case)
    except Exception as error:  # noqa: BLE001 - the boundary: each of them is a finding
        outcome.unhandled += 1
        path = folder / f"{target.name}-{number}.json"
        save(case, path)
        cause = "".join(traceback.format_exception(error))[-2000:]
        outcome.said.append(f"{path}: replay with python -m tools.fuzz --replay {path}\n{cause}")


async def replay(case: Case) -> None:
    """Play one case; raises what it does."""
    async with AsyncExitStack() as stack:
        _, choice = await opened(stack)
        target = next(each for each in choice if each.name == case.target)
        await target.run(case)
