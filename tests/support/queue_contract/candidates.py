"""Contract of requests with several candidates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.queue.id_words import end_word, id_words
from facet.queue.limits import FIRST_OUTPUT_TOKENS, OUTPUT_MEMORY
from facet.queue.values import Verdict
from tests.support.queue_contract.world import (
    TENANT,
    World,
    append,
    claim_one,
    finish,
    submission,
    terminal_of,
)


class CandidateContract:
    async def test_size_grows_with_the_output_alone_when_there_are_several(
        self, world: World
    ) -> None:
        asked = replace(submission(), prompt_tokens=100, max_output_tokens=7, sequences=3)
        await world.queue.submit(asked)
        claimed = await claim_one(world)
        assert claimed.charged_tokens == 100 + 3 * 7
        assert claimed.sequences == 3

    async def test_the_mean_is_that_of_a_candidate_when_several_ended(self, world: World) -> None:
        await world.queue.submit(replace(submission(), sequences=4))
        claimed = await claim_one(world)
        tokens = 4 * (FIRST_OUTPUT_TOKENS + 2 * OUTPUT_MEMORY)
        await world.queue.write([replace(finish(claimed), prompt_tokens=1, output_tokens=tokens)])
        assert (await world.queue.depth()).mean_output_tokens == FIRST_OUTPUT_TOKENS + 2

    async def test_words_come_back_as_written_when_another_worker_claims(
        self, world: World
    ) -> None:
        await world.queue.submit(replace(submission(), sequences=8))
        claimed = await claim_one(world)
        words = (*id_words(0, [1]), *id_words(7, [9, 262_143]), end_word(7, 2), *id_words(0, [2]))
        await world.queue.write([append(claimed, 0, words[:3]), append(claimed, 1, words[3:])])
        await world.queue.hand_back([claimed.lease])
        again = await claim_one(world)
        assert (again.token_ids, again.fingerprint) == (words, "print-1")

    async def test_an_end_is_kept_when_it_brings_no_id(self, world: World) -> None:
        await world.queue.submit(replace(submission(), sequences=2))
        claimed = await claim_one(world)
        ends = (end_word(1, 1),)
        (result,) = await world.queue.write([append(claimed, 0, ends)])
        assert result.verdict is Verdict.OK
        await world.queue.hand_back([claimed.lease])
        again = await claim_one(world)
        assert (again.token_ids, again.fingerprint) == (ends, "print-1")

    @pytest.mark.parametrize("voids", [False, True])
    async def test_the_stores_own_end_counts_ids_alone_when_some_had_ended(
        self, world: World, voids: bool
    ) -> None:
        await world.queue.submit(replace(submission(), sequences=2))
        claimed = await claim_one(world)
        words = (*id_words(1, [4, 5]), end_word(1, 1), *id_words(0, [6]))
        later = replace(append(claimed, 1, id_words(1, [7])), voids_ids=voids)
        await world.queue.write([append(claimed, 0, words), later])
        await world.queue.cancel("g-0-1", TENANT)
        assert (await terminal_of(world)).token_end == (1 if voids else 4)
