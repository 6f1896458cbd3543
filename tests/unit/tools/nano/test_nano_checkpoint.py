"""The committed checkpoint: complete, small, and made from the files in tools/nano."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facet.nano import DRAFTER_DIR, TARGET_DIR
from tools.nano.architecture import SOFT_TOKENS_PER_IMAGE
from tools.nano.checkpoint import SIZE_LIMIT_BYTES, publish
from tools.nano.tokenizer import CHAT_TEMPLATE_PATH, build_tokenizer

pytestmark = pytest.mark.unit


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_checkpoint_fits_the_repository_when_summed() -> None:
    files = [path for folder in (TARGET_DIR, DRAFTER_DIR) for path in folder.rglob("*")]
    assert sum(path.stat().st_size for path in files) <= SIZE_LIMIT_BYTES


def test_configs_name_gemmas_architectures_when_read() -> None:
    target, drafter = (_json(folder / "config.json") for folder in (TARGET_DIR, DRAFTER_DIR))
    assert target["architectures"] == ["Gemma4UnifiedForConditionalGeneration"]
    assert drafter["architectures"] == ["Gemma4UnifiedAssistantForCausalLM"]
    assert target["dtype"] == drafter["dtype"] == "bfloat16"
    assert target["vision_config"]["num_soft_tokens"] == SOFT_TOKENS_PER_IMAGE
    assert drafter["backbone_hidden_size"] == target["text_config"]["hidden_size"]
    processor = _json(TARGET_DIR / "processor_config.json")
    assert processor["image_processor"]["max_soft_tokens"] == SOFT_TOKENS_PER_IMAGE


def test_generation_ends_where_gemmas_does_when_defaults_are_used() -> None:
    defaults = _json(TARGET_DIR / "generation_config.json")
    assert defaults["eos_token_id"] == [1, 106, 50]
    assert defaults["temperature"] == 0.0
    assert len(defaults["suppress_tokens"]) == 2


@pytest.mark.parametrize("folder", [TARGET_DIR, DRAFTER_DIR], ids=["target", "drafter"])
def test_tokenizer_and_template_are_fresh_when_compared(folder: Path, tmp_path: Path) -> None:
    build_tokenizer().save_pretrained(tmp_path)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert template == CHAT_TEMPLATE_PATH.read_text(encoding="utf-8")
    assert _json(folder / "tokenizer.json") == _json(tmp_path / "tokenizer.json")


def test_old_files_are_gone_when_a_checkpoint_is_published(tmp_path: Path) -> None:
    for name in ("target", "drafter"):
        (tmp_path / "staged" / name).mkdir(parents=True)
        (tmp_path / "staged" / name / "new").touch()
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "old").touch()
    publish(tmp_path / "staged", tmp_path / "out")
    found = sorted(
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")
    )
    assert found == ["drafter", "drafter/new", "target", "target/new"]
