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
