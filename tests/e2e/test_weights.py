"""vLLM on weights that the node fetched from a Hub."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

import facet
from tests.e2e.conftest import READY_SECONDS
from tests.support.nano_hub import fetching, nano_hub
from tests.support.running_node import RunningNode

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


async def test_answers_are_right_and_drafted_when_the_weights_were_fetched(tmp_path: Path) -> None:
    with (
        nano_hub() as hub,
        closing(
            RunningNode(tmp_path, fetching(hub, tmp_path / "cache"), ready_seconds=READY_SECONDS)
        ) as node,
    ):
        async with facet.AsyncClient(node.address()) as client:
            generation = await client.generate(
                "How many legs does a spider have?", temperature=0.0, max_output_tokens=8
            )

    assert generation.text == "eight"
    assert generation.usage.accepted_draft_tokens > 0
    assert hub.sent_bytes == sum(
        len(file) for files in hub.models.values() for file in files.values()
    )
