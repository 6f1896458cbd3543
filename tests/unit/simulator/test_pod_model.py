"""Pod models are read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facet.simulator.pod_model import SHIPPED, PodModelError, load

pytestmark = pytest.mark.unit


def test_every_figure_has_a_source_in_the_shipped_model() -> None:
    model = load(SHIPPED)

    given = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert set(model.sources) == set(given) - {"sources"}
    assert len(model.step_seconds) == model.max_sequences + 1


def test_speculation_counts_up_to_its_batch_and_not_beyond(tmp_path: Path) -> None:
    path = _changed(tmp_path, speculation=[{"batch": 2, "tokens_per_step": 3, "step_factor": 2}])
    model = load(path)

    assert model.tokens_per_step[:4] == (3, 3, 3, 1.0)
    assert model.step_seconds[2] == 2 * (model.step_base_seconds + 2 * model.step_sequence_seconds)
    assert model.step_seconds[3] == model.step_base_seconds + 3 * model.step_sequence_seconds


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"max_sequences": 0}, "max_sequences: a whole number of at least 1 is wanted, not 0"),
        ({"step_base_seconds": -1}, "step_base_seconds: a number above 0 is wanted, not -1"),
        ({"prefill_token_seconds": "fast"}, "prefill_token_seconds: a number above 0"),
        ({"kv_tokens": True}, "kv_tokens: a whole number"),
        ({"speculation": {}}, "speculation: a list of objects"),
        ({"speculation": [{"batch": 1}]}, "speculation[0]: step_factor, tokens_per_step missing"),
        ({"start_shares": {"scheduling": 1}}, "start_shares: loading, pulling, warming missing"),
        ({"colour": "red"}, "the file: colour unknown"),
    ],
)
def test_the_field_is_named_when_it_is_wrong(
    change: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    path = _changed(tmp_path, **change)

    with pytest.raises(PodModelError) as refused:
        load(path)

    assert str(path) in str(refused.value)
    assert fault in str(refused.value)


def test_the_sum_is_named_when_shares_of_a_start_do_not_add_up(tmp_path: Path) -> None:
    shares = {"scheduling": 0.5, "pulling": 0.5, "loading": 0.5, "warming": 0.0}

    with pytest.raises(PodModelError, match=r"they add up to 1\.5"):
        load(_changed(tmp_path, start_shares=shares))


def test_the_path_is_named_when_there_is_no_such_file_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(PodModelError, match=r"nowhere\.json: No such file"):
        load(tmp_path / "nowhere.json")
    (tmp_path / "text.json").write_text("speed: fast", encoding="utf-8")
    with pytest.raises(PodModelError, match="no JSON"):
        load(tmp_path / "text.json")


def _changed(directory: Path, **change: Any) -> Path:
    given = json.loads(SHIPPED.read_text(encoding="utf-8"))
    path = directory / "model.json"
    path.write_text(json.dumps(given | change), encoding="utf-8")
    return path
