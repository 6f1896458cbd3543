"""Writes a nano checkpoint folder: `target/` and `drafter/`, complete for vLLM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from transformers import (
    Gemma4UnifiedAssistantForCausalLM,
    Gemma4UnifiedForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from tools.nano.architecture import build_processor, write_generation_config

SIZE_LIMIT_BYTES = 15 * 1000 * 1000


def save_checkpoint(
    folder: Path,
    target: Gemma4UnifiedForConditionalGeneration,
    drafter: Gemma4UnifiedAssistantForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Save both models in bfloat16 under `folder`, replacing what is there.

    The live models keep their dtype. Raises ValueError over 15 MB, the repository's budget.
    """
    for name, model in (("target", target), ("drafter", drafter)):
        part = folder / name
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
        rounded = {
            key: value.detach().to(torch.bfloat16).clone()
            for key, value in model.state_dict().items()
            if key != "lm_head.weight"
        }
        model.save_pretrained(part, state_dict=rounded)
        _declare_bfloat16(part / "config.json")
        (part / "model.safetensors").chmod(0o644)
        if name == "target":
            build_processor(tokenizer).save_pretrained(part)
        else:
            tokenizer.save_pretrained(part)
        write_generation_config(part, tokenizer)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > SIZE_LIMIT_BYTES:
        raise ValueError(f"checkpoint is {size} bytes, more than {SIZE_LIMIT_BYTES}")


def _declare_bfloat16(path: Path) -> None:
    # save_pretrained writes the dtype of the live parameters, not that of the weights it was given.
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "bfloat16"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def publish(staged: Path, destination: Path) -> None:
    """Move `staged/target` and `staged/drafter` into `destination`, each by a rename."""
    destination.mkdir(parents=True, exist_ok=True)
    for name in ("target", "drafter"):
        incoming = destination / f".{name}.incoming"
        outgoing = destination / f".{name}.outgoing"
        for leftover in (incoming, outgoing):
            if leftover.exists():
                shutil.rmtree(leftover)
        shutil.copytree(staged / name, incoming)
        final = destination / name
        if final.exists():
            final.rename(outgoing)
        incoming.rename(final)
        if outgoing.exists():
            shutil.rmtree(outgoing)
