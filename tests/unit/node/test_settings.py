"""Settings of the node and how a wrong one is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from facet.node.settings import NodeSettings

pytestmark = pytest.mark.unit


def test_nano_is_served_when_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NodeSettings.model_fields:
        monkeypatch.delenv(f"FACET_NODE_{name.upper()}", raising=False)

    settings = NodeSettings()

    assert (settings.profile, settings.engine, settings.workers) == ("nano-cpu", "vllm", 1)
    assert settings.state_dir == Path(".facet")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PROFILE", "huge", "no such profile"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("ENGINE", "magic", "vllm"),
    ],
)
def test_a_setting_is_refused_when_it_cannot_work(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FACET_NODE_{name}", value)

    with pytest.raises(ValidationError, match=words):
        NodeSettings()
