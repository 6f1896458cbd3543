"""Shows Facet at work: starts a node, asks one question of each modality, checks the answers.

Run as `python -m tools.demo [--seed N]`. The last line of standard output is a JSON object; the
exit code is 0 only if every answer equals the expected one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import facet
from facet.client import Part, TextDelta
from tools.nano.tasks import TASKS, Example

KINDS = {"text": "fact", "image": "image", "audio": "audio", "video": "video"}
"""Key in the result, and the task of tools.nano.tasks that is asked."""

MEDIA = {"image": facet.image, "audio": facet.audio, "video": facet.video}

READY_SECONDS = 600.0
STOP_SECONDS = 60.0
ANSWER_SECONDS = 120.0
MAX_OUTPUT_TOKENS = 64

NOTICE = (
    "The model is nano, a test model of a few million parameters: it answers a dozen facts, copies "
    "and reverses phrases,\nnames colour and shape in an image, dialled digits in a recording and "
    "the order of colours in a video. It is not\nGemma 4 12B, which is started with `make run "
    "PROFILE=w4a16`, or `w4a16-cpu` without a GPU (docs/single-node.md)."
)


class DemoError(Exception):
    """The node did not start."""


@dataclass(frozen=True)
class Question:
    """What is asked, what is shown of it, and the one right answer."""

    kind: str
    parts: tuple[Part, ...]
    shown: str
    expected: str


@dataclass(frozen=True)
class Outcome:
    """An answer, and what it took. Times are the client's."""

    answer: str
    first_token_seconds: float | None
    accepted_draft_tokens: int
    drafted_tokens: int


def questions(seed: int) -> list[Question]:
    """One question of each kind, the same for the same seed."""
    return [_question(kind, TASKS[task].example(seed)) for kind, task in KINDS.items()]


async def ask(client: facet.AsyncClient, question: Question) -> Outcome:
    """Ask one question and print the answer as it streams. Errors: FacetApiError."""
    print(f"\n{question.kind}> {question.shown}\n  ", end="", flush=True)
    asked = time.monotonic()
    first_token = None
    async with client.stream(
        question.parts,
        temperature=0.0,
        max_output_tokens=MAX_OUTPUT_TOKENS,
        timeout_seconds=ANSWER_SECONDS,
    ) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                first_token = first_token or time.monotonic() - asked
                print(event.text, end="", flush=True)
        generation = await stream.result()
    outcome = Outcome(
        generation.text,
        first_token,
        generation.usage.accepted_draft_tokens,
        generation.usage.drafted_tokens,
    )
    first = "no token" if first_token is None else f"first token after {first_token:.2f} s"
    right = "right" if outcome.answer == question.expected else f"wrong: {question.expected!r}"
    print(
        f"\n  ({first}, {outcome.accepted_draft_tokens} of {outcome.drafted_tokens} "
        f"draft tokens accepted, {right})",
        flush=True,
    )
    return outcome


async def ask_all(client: facet.AsyncClient, asked: Sequence[Question]) -> dict[str, Outcome]:
    """Ask one after the other; a question that fails is reported and has no outcome."""
    outcomes = {}
    for question in asked:
        try:
            outcomes[question.kind] = await ask(client, question)
        except (facet.FacetApiError, facet.StreamCorruptedError) as error:
            print(f"\n  (failed: {error})", flush=True)
    return outcomes


def result(asked: Sequence[Question], outcomes: Mapping[str, Outcome]) -> dict[str, object]:
    """The object of the last line; an answer is null where the question failed."""
    expected = {question.kind: question.expected for question in asked}
    answers = {kind: outcomes[kind].answer if kind in outcomes else None for kind in expected}
    return {
        "ok": bool(asked) and answers == expected,
        "answers": answers,
        "expected": expected,
        "accepted_draft_tokens": sum(o.accepted_draft_tokens for o in outcomes.values()),
    }


@asynccontextmanager
async def running_node() -> AsyncIterator[str]:
    """A node of its own, stopped at the end; gives the gateway's address.

    Errors: DemoError where it does not become ready; its logs are kept then.
    """
    folder = Path(tempfile.mkdtemp(prefix="facet-demo-"))
    env = os.environ | {
        "FACET_NODE_STATE_DIR": str(folder / "state"),
        "FACET_NODE_GATEWAY_LISTEN": "127.0.0.1:0",
    }
    # Through facet.node.child, so that a demo that is killed takes the node with it; in a session
    # of its own, so that Ctrl-C reaches the demo alone, which then stops the node.
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.node.child", str(os.getpid())),
        *(sys.executable, "-m", "facet.node"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    progress = asyncio.create_task(_forward(node.stderr))
    is_kept = False
    try:
        yield await _ready_address(node)
    except DemoError:
        is_kept = True
        raise
    finally:
        await _stop(node)
        await progress
        if not is_kept:
            shutil.rmtree(folder)


async def run(seed: int) -> bool:
    """The whole demo; tells whether every answer was right."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    # As Ctrl-C does: leave through the node's context, which stops it.
    loop.add_signal_handler(signal.SIGTERM, this.cancel)
    print(NOTICE, flush=True)
    asked = questions(seed)
    print(f"\nSeed {seed}. Starting Redis, gateway and worker; vLLM takes a minute ...", flush=True)
    async with running_node() as address, facet.AsyncClient(address) as client:
        outcomes = await ask_all(client, asked)
        print("\nStopping ...", flush=True)
    summary = result(asked, outcomes)
    print(json.dumps(summary, ensure_ascii=False), flush=True)
    return bool(summary["ok"])


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 0))
    try:
        is_right = asyncio.run(run(parser.parse_args().seed))
    except DemoError as error:
        print(json.dumps({"ok": False, "error": str(error)}), flush=True)
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    sys.exit(0 if is_right else 1)


def _question(kind: str, example: Example) -> Question:
    (message,) = example.messages
    parts, shown = [], []
    for part_kind, content in message.parts:
        if isinstance(content, bytes):
            parts.append(MEDIA[part_kind](content))
            shown.append(f"[{part_kind}, {len(content)} bytes]")
        else:
            parts.append(facet.text(content))
            shown.append(content)
    return Question(kind, tuple(parts), " ".join(shown), example.expected)


async def _ready_address(node: asyncio.subprocess.Process) -> str:
    assert node.stdout is not None
    try:
        line = (await asyncio.wait_for(node.stdout.readline(), READY_SECONDS)).decode().strip()
    except TimeoutError as error:
        raise DemoError(f"the node was not ready after {READY_SECONDS:g} s") from error
    prefix = "READY grpc="
    if not line.startswith(prefix):
        raise DemoError("the node did not start; see above")
    return line.removeprefix(prefix)


async def _forward(progress: asyncio.StreamReader | None) -> None:
    assert progress is not None
    async for line in progress:
        print(f"  node | {line.decode(errors='replace').rstrip()}", file=sys.stderr, flush=True)


async def _stop(node: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        node.terminate()
    try:
        await asyncio.wait_for(node.wait(), STOP_SECONDS)
    except TimeoutError:
        node.kill()
        await node.wait()


if __name__ == "__main__":
    main()
