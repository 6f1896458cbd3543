"""Gemma 4 12B by its configuration alone: folders that vLLM reads, without weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facet import nano
from facet.profiles import gemma4
from facet.profiles.shape import FULL


def write_target(folder: Path) -> Path:
    """The target in a new folder, with nano's tokenizer."""
    return _write(folder, gemma4.TARGET_CONFIG, nano.TARGET_DIR)


def write_drafter(folder: Path) -> Path:
    """The drafter in a new folder, with nano's tokenizer."""
    return _write(folder, gemma4.DRAFTER_CONFIG, nano.DRAFTER_DIR)


def _write(folder: Path, shape: Mapping[str, Any], base: Path) -> Path:
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    for key, value in shape.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, Mapping) else value
    text = config["text_config"]
    heads = {
        "head_dim": text["global_head_dim"],
        "num_key_value_heads": text["num_global_key_value_heads"],
    }
    text["per_layer_config"] = {
        str(number): heads for number, kind in enumerate(text["layer_types"]) if kind == FULL
    }
    text["max_position_embeddings"] = gemma4.MAX_CONTEXT_TOKENS
    (folder / "config.json").write_text(json.dumps(config))
    return folder
