"""`facet plan` on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from facet.client.cli.app import main
from facet.client.cli.exit_codes import ExitCode

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]
NANO = ROOT / "services/facet/nano/target"


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *argv])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_table_and_arguments_are_printed_when_the_plan_fits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--profile", "w4a16", "--memory", "16GiB") == ExitCode.OK

    out = capsys.readouterr().out
    assert "  total              16.00 GiB\n" in out
    assert "  max_model_len = 32768\n" in out


def test_one_object_is_printed_when_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--profile", "w4a16-cpu", "--target", "gke-16", "--json") == ExitCode.OK

    (line,) = capsys.readouterr().out.splitlines()
    made = json.loads(line)
    sizes = made["memory_bytes"]
    parts = ("weights", "drafter", "runtime", "node", "activations", "kv_cache", "spare")
    assert sum(sizes[part] for part in parts) == sizes["usable"]
    assert made["engine_arguments"]["kv_cache_memory_bytes"] == sizes["kv_cache"]


@pytest.mark.parametrize(
    "argv",
    [
        ("--profile", "w4a16", "--memory", "16GiB"),
        ("--profile", "w4a16-cpu", "--memory", "16GiB"),
        ("--profile", "w4a16-cpu", "--target", "gke-16"),
        ("--profile", "fp8", "--memory", "24GiB"),
        ("--profile", "bf16", "--memory", "80GiB"),
    ],
)
def test_documented_fields_are_printed_when_the_machine_is_one_of_those_served(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv, "--json") == ExitCode.OK

    made = json.loads(capsys.readouterr().out)
    documented = (ROOT / "docs/planning.md").read_text().partition("## Fields of --json")[2]
    assert set(made) == set(re.findall(r"^\| `(\w+)`", documented, re.MULTILINE))
    assert made["fits"] is True
    assert made["steps_in_flight"] == (1 if made["device"] == "cpu" else 2)
    assert made["memory_bytes"]["spare"] >= 0


# The largest media: an image of 1,120 tokens, 30 s of audio of 750, 16 frames of 78; vLLM itself
# counts 2,496 for a video.
LARGEST_ITEM, LARGEST_ITEM_OF_VLLM = 16 * 78, 2496


@pytest.mark.parametrize(
    ("argv", "context", "least_sequences"),
    [
        (("--profile", "w4a16", "--memory", "16GiB"), 32_768, 4),
        (("--profile", "w4a16-cpu", "--memory", "16GiB"), 8192, 2),
        (("--profile", "w4a16-cpu", "--target", "gke-16"), 2048, 1),
        (("--profile", "w4a16", "--target", "gke-16"), 32_768, 16),
        (("--profile", "w4a16", "--memory", "24GiB"), 32_768, 16),
        (("--profile", "fp8", "--memory", "24GiB"), 32_768, 8),
        (("--profile", "bf16", "--memory", "80GiB"), 131_072, 64),
    ],
)
def test_the_printed_plan_holds_together_when_the_machine_is_one_of_those_served(
    argv: tuple[str, ...], context: int, least_sequences: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv, "--json") == ExitCode.OK

    made = json.loads(capsys.readouterr().out)
    sizes, arguments = made["memory_bytes"], made["engine_arguments"]
    assert made["max_model_len"] >= context
    assert made["max_num_seqs"] >= least_sequences
    for name in ("max_model_len", "max_num_seqs", "max_num_batched_tokens"):
        assert arguments[name] == made[name]
    assert arguments["kv_cache_memory_bytes"] == sizes["kv_cache"]
    assert sizes["kv_cache"] >= sizes["kv_at_admission"]["total"] > sizes["kv_steady"]["total"]
    assert sizes["load_peak"] + sizes["node"] <= sizes["usable"] <= sizes["total"]
    for kv in (sizes["kv_at_admission"], sizes["kv_steady"]):
        assert kv["sliding"] + kv["full"] == kv["total"]


@pytest.mark.parametrize("batched", [None, 2560, 4096])
@pytest.mark.parametrize(
    "argv",
    [
        ("--profile", "w4a16", "--memory", "16GiB"),
        ("--profile", "w4a16-cpu", "--memory", "16GiB"),
        ("--profile", "w4a16-cpu", "--target", "gke-16"),
        ("--profile", "fp8", "--memory", "24GiB"),
        ("--profile", "bf16", "--memory", "80GiB"),
    ],
)
def test_two_of_the_largest_media_fit_a_step_when_a_plan_is_printed(
    argv: tuple[str, ...], batched: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = () if batched is None else ("--batched-tokens", str(batched))
    assert run(*argv, *asked, "--json") == ExitCode.OK

    made = json.loads(capsys.readouterr().out)
    step = made["max_num_batched_tokens"]
    assert step == (batched or step)
    assert step >= max(2 * LARGEST_ITEM, LARGEST_ITEM_OF_VLLM)
    arguments = made["engine_arguments"]
    assert arguments["limit_mm_per_prompt"]["video"]["num_frames"] == 16
    assert arguments["disable_chunked_mm_input"] is True


@pytest.mark.parametrize("batched", ["2048", "2495"])
def test_a_step_is_refused_when_two_media_do_not_fit_it(
    batched: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("--profile", "w4a16", "--memory", "16GiB", "--batched-tokens", batched, "--json")
    assert run(*argv) == ExitCode.REFUSED

    assert json.loads(capsys.readouterr().out)["reason"] == "BATCHED_TOKENS"


def test_the_refusal_is_one_line_and_an_object_when_it_does_not_fit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--profile", "bf16", "--memory", "24GiB", "--json") == ExitCode.REFUSED

    captured = capsys.readouterr()
    assert json.loads(captured.out)["nearest"] == "fp8"
    assert captured.err.count("\n") == 1


def test_another_checkpoint_is_counted_when_its_configuration_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ("--profile", "w4a16", "--memory", "16GiB", "--json", "--config", str(NANO))
    assert run(*argv) == ExitCode.OK

    assert json.loads(capsys.readouterr().out)["memory_bytes"]["weights"] < 10_000_000


@pytest.mark.parametrize("size", ["16", "0GiB", "GiB", "-1GiB"])
def test_a_size_is_refused_when_it_is_none(size: str) -> None:
    assert run("--profile", "w4a16", f"--memory={size}") == ExitCode.USAGE
