"""The examples of docs/sdk.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facet.api.v1 import inference_service_pb2
from facet.node.settings import NodeSettings
from tests.integration.client.fake_gateway import GENERATION_ID, FakeGateway

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[3] / "docs" / "sdk.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs_when_it_is_copied(
    example: str, gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.say("answer")
    gateway.stored = [_stored()]
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.chdir(tmp_path)
    assert "127.0.0.1:8470" in example

    exec(example.replace("127.0.0.1:8470", gateway.address), {})

    assert gateway.requests


def test_every_setting_is_named_when_the_node_has_it() -> None:
    for name in NodeSettings.model_fields:
        assert f"`FACET_NODE_{name.upper()}`" in PAGE


def _stored() -> inference_service_pb2.Generation:
    """What was submitted has ended when it is asked for."""
    generation = inference_service_pb2.Generation(
        generation_id=GENERATION_ID, state=inference_service_pb2.GENERATION_STATE_SUCCEEDED
    )
    generation.end_time.GetCurrentTime()
    generation.response.candidates.add().content.parts.add(text="answer")
    return generation
