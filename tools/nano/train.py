"""Trains the nano checkpoint: first the target, then the MTP drafter on its hidden states.

Run as `python -m tools.nano.train`. Work goes to build/nano; an interrupted run goes on from
there. The finished checkpoint is copied to --out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from transformers import (
    Gemma4UnifiedAssistantForCausalLM,
    Gemma4UnifiedForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from tools.nano.architecture import drafter_config, target_config
from tools.nano.batches import Batch
from tools.nano.checkpoint import publish, save_checkpoint
from tools.nano.curriculum import TrainingData
from tools.nano.drafter_forward import DrafterForward, guess_loss
from tools.nano.forward import TargetForward, answer_loss
from tools.nano.gang import Gang, run_gang
from tools.nano.loop import LoopSettings, TrainingLoop
from tools.nano.probing import probe, probe_drafter
from tools.nano.prompts import PromptEncoder
from tools.nano.tokenizer import build_tokenizer

DRAFTER_SHARE = 0.27
"""Part of the minutes that the drafter gets."""

GUESSES = 3
BUILD = Path("build/nano")


class Trainer:
    """One process's part in both trainings."""

    def __init__(self, gang: Gang, seed: int, build: Path) -> None:
        torch.manual_seed(seed)
        self._gang = gang
        self._build = build
        self._tokenizer: PreTrainedTokenizerFast = build_tokenizer()
        self._encoder = PromptEncoder(self._tokenizer)
        self._target = Gemma4UnifiedForConditionalGeneration(target_config(self._tokenizer))
        self._drafter = Gemma4UnifiedAssistantForCausalLM(drafter_config(self._tokenizer))
        self._data = TrainingData(self._encoder, seed)
        self._forward = TargetForward(self._target)
        self._guesser = DrafterForward(self._drafter, self._forward)

    def train_target(self, minutes: float) -> None:
        """Train the target for `minutes`."""
        settings = LoopSettings("target", minutes * 60, self._build / "target_state.pt")
        loop = TrainingLoop(self._target, self._target_loss, self._data, self._gang, settings)
        loop.load()
        loop.run(lambda: self._show_target(4))
        self._show_target(40)

    def train_drafter(self, minutes: float) -> None:
        """Train the drafter for `minutes` on the target as it is."""
        self._target.requires_grad_(False)
        settings = LoopSettings("drafter", minutes * 60, self._build / "drafter_state.pt")
        loop = TrainingLoop(self._drafter, self._drafter_loss, self._data, self._gang, settings)
        loop.load()
        loop.run(lambda: self._show_drafter(4))
        self._show_drafter(40)

    def save(self) -> None:
        """Write both models under the build folder, once for all processes."""
        if self._gang.rank == 0:
            save_checkpoint(
                self._build / "checkpoint", self._target, self._drafter, self._tokenizer
            )

    def _target_loss(self, batch: Batch) -> torch.Tensor:
        hidden = self._forward.states(batch).hidden[batch.answers]
        return answer_loss(self._forward.logits(hidden), batch)

    def _drafter_loss(self, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            states = self._forward.states(batch)
        return guess_loss(self._guesser.guesses(batch, states, GUESSES), batch)

    def _show_target(self, per_task: int) -> None:
        if self._gang.rank == 0:
            shares = probe(self._forward, self._encoder, per_task)
            print(f"held-out exact answers {shares}", flush=True)

    def _show_drafter(self, per_task: int) -> None:
        if self._gang.rank == 0:
            lengths = probe_drafter(self._forward, self._guesser, self._encoder, per_task)
            print(f"held-out accepted length {lengths}", flush=True)


def train_in_gang(gang: Gang, minutes: float, seed: int, build: Path) -> None:
    """Both trainings, in one of the gang's processes."""
    trainer = Trainer(gang, seed, build)
    trainer.train_target(minutes * (1 - DRAFTER_SHARE))
    trainer.train_drafter(minutes * DRAFTER_SHARE)
    trainer.save()


def keep_freed_memory() -> None:
    """Have malloc keep what it frees: fresh pages for every tensor took 5 % of a step's time.

    Takes effect in processes started later.
    """
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(4 << 30))
    os.environ.setdefault("MALLOC_TOP_PAD_", str(256 << 20))


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, train, publish."""
    parser = argparse.ArgumentParser(prog="python -m tools.nano.train")
    parser.add_argument("--out", type=Path, default=Path("services/facet/nano"))
    parser.add_argument("--minutes", type=float, default=55.0, help="training time in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    BUILD.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    run_gang(options.processes, BUILD, train_in_gang, options.minutes, options.seed, BUILD)
    publish(BUILD / "checkpoint", options.out)


if __name__ == "__main__":
    main()
