"""The fuzzer: it plays every target, repeats itself, and finds what is planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facet.gateway.model_service import ModelService
from facet.gateway.validation import images
from tools.fuzz.case import Case, load, save
from tools.fuzz.run import Outcome, play, replay

pytestmark = pytest.mark.unit

INPUTS = 500


def _findings(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_nothing_is_unhandled_when_a_few_hundred_inputs_are_played(tmp_path: Path) -> None:
    outcome = await play(0, INPUTS, 1, tmp_path)
    assert (outcome.unhandled, outcome.said) == (0, [])
    assert sum(outcome.by_target.values()) == INPUTS
    assert len(outcome.by_target) >= 20
    assert min(outcome.by_target.values()) >= INPUTS // 50


async def test_a_planted_bug_is_found_and_replayed_when_a_handler_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: ModelService, request: Any, call: Any) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(ModelService, "get_model", broken)
    outcome = await play(0, INPUTS, 1, tmp_path)
    findings = _findings(tmp_path)
    assert outcome.unhandled == len(findings) > 0
    assert "planted" in outcome.said[0]
    finding = load(findings[0])
    with pytest.raises(Exception, match="planted"):
        await replay(finding)
    monkeypatch.undo()
    await replay(finding)


async def test_a_planted_bug_is_found_when_it_lies_deep_in_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: bytes, mime_type: str) -> str:
        raise IndexError("planted")

    assert callable(images.image_fault)
    monkeypatch.setattr("facet.gateway.validation.media.image_fault", broken)
    outcome: Outcome = await play(0, INPUTS, 1, tmp_path)
    assert outcome.unhandled > 0


def test_a_case_is_the_same_when_it_was_saved_and_loaded(tmp_path: Path) -> None:
    case = Case("x", b"\0\xff", (("authorization", "Bearer é"), ("x-bin", b"\xff")))
    save(case, tmp_path / "case.json")
    assert load(tmp_path / "case.json") == case
