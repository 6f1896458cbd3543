"""Evaluates a nano checkpoint through vLLM: accuracy, draft acceptance, and MTP parity.

Run as `python -m tools.nano.eval`. The last line of stdout is a JSON object; the exit status is 1
when an accuracy is below 0.95, the mean accepted length below 2.0, or an answer differs without
MTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client import REGISTRY
from transformers import AutoTokenizer

from tools.nano.engine import Answer, Engine, started_engine
from tools.nano.prompts import THOUGHT_END, THOUGHT_START, PromptEncoder, call_text, completion_text
from tools.nano.tasks import TASKS, Example

DEFAULT_CHECKPOINT = Path("services/facet/nano")
LEAST_ACCURACY = 0.95
LEAST_ACCEPTED_LENGTH = 2.0


@dataclass(frozen=True)
class Run:
    """Answers by task, and how many draft tokens were accepted per draft on average, plus one."""

    answers: dict[str, list[Answer]]
    mean_accepted_length: float


def is_right(example: Example, text: str) -> bool:
    """Whether `text` holds a thought if one was asked for, and ends in the expected answer."""
    if example.thinking:
        if not text.startswith(THOUGHT_START):
            return False
        _, _, text = text.partition(THOUGHT_END)
    if example.expected_call is not None:
        return text == call_text(example.expected_call)
    return text == example.expected


def _mean_accepted_length() -> float:
    totals = {"num_drafts": 0.0, "num_accepted_tokens": 0.0}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            for name in totals:
                if sample.name == f"vllm:spec_decode_{name}_total":
                    totals[name] += sample.value
    return 1.0 + totals["num_accepted_tokens"] / max(1.0, totals["num_drafts"])


async def _answer_all(
    engine: Engine, examples: dict[str, list[Example]]
) -> dict[str, list[Answer]]:
    return {name: await engine.answers(items, name) for name, items in examples.items()}


async def _run(
    checkpoint: Path, encoder: PromptEncoder, examples: dict[str, list[Example]], speculative: bool
) -> Run:
    async with started_engine(checkpoint, encoder, speculative) as engine:
        answers = await _answer_all(engine, examples)
        return Run(answers, _mean_accepted_length())


def _check_prompts(
    encoder: PromptEncoder, examples: dict[str, list[Example]], run: Run
) -> dict[str, int]:
    """Per task, prompts whose ids differ from those trained on."""
    different = {}
    for name, items in examples.items():
        pairs = zip(items, run.answers[name], strict=True)
        wrong = sum(encoder.encode(e).prompt_ids != list(a.prompt_ids) for e, a in pairs)
        if wrong:
            different[name] = wrong
    return different


def _report_misses(examples: dict[str, list[Example]], run: Run) -> dict[str, float]:
    accuracy = {}
    for name, items in examples.items():
        right = 0
        for example, answer in zip(items, run.answers[name], strict=True):
            if is_right(example, answer.text):
                right += 1
            else:
                wanted = completion_text(example)
                question = example.messages[-1].text
                print(f"miss {name}: {question!r} -> {answer.text!r}, not {wanted!r}")
        accuracy[name] = round(right / len(items), 4)
    return accuracy


@dataclass(frozen=True)
class Result:
    """What an evaluation found."""

    accuracy: dict[str, float]
    mean_accepted_length: float
    mtp_parity_mismatches: int

    def is_good(self) -> bool:
        """Whether every bound is met."""
        return (
            self.mtp_parity_mismatches == 0
            and min(self.accuracy.values()) >= LEAST_ACCURACY
            and self.mean_accepted_length >= LEAST_ACCEPTED_LENGTH
        )


def evaluate(checkpoint: Path, per_task: int, first_seed: int) -> Result:
    """Run `per_task` held-out examples of every task with and without MTP."""
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(checkpoint / "target"))
    examples = {
        name: [task.example(first_seed + i) for i in range(per_task)]
        for name, task in TASKS.items()
    }
    drafted = asyncio.run(_run(checkpoint, encoder, examples, speculative=True))
    plain = asyncio.run(_run(checkpoint, encoder, examples, speculative=False))
    mismatches = sum(
        one.token_ids != other.token_ids
        for name in examples
        for one, other in zip(drafted.answers[name], plain.answers[name], strict=True)
    )
    if different := _check_prompts(encoder, examples, drafted):
        print(f"prompts that vLLM builds otherwise than training: {different}")
    accuracy = _report_misses(examples, drafted)
    return Result(accuracy, round(drafted.mean_accepted_length, 3), mismatches)


def main(arguments: list[str] | None = None) -> int:
    """Parse arguments, evaluate, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.nano.eval")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    parser.add_argument("--per-task", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args(arguments)
    result = evaluate(options.checkpoint, options.per_task, options.first_seed)
    print(json.dumps(asdict(result)), flush=True)
    return 0 if result.is_good() else 1


if __name__ == "__main__":
    sys.exit(main())
