"""`facet simulate` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facet.simulator.app import main
from facet.simulator.comparison import POLICIES
from facet.simulator.pod_model import SHIPPED
from tests.support.simulated_pods import drawn

pytestmark = pytest.mark.unit

SHOWN = {
    "policy",
    "slo_attainment",
    "pod_hours",
    "vs_clairvoyant",
    "p99_ttft_s",
    "scale_events",
    "cold_start_seconds",
    "ttft_slo_seconds",
    "pod_model",
    "seed",
}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "short.csv"
    lines = [
        f"2024-01-01 {int(at) // 3600:02}:{int(at) // 60 % 60:02}:{at % 60:09.6f},{prompt},{output}"
        for at, prompt, output in drawn(250, 0.5, 5)
    ]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines, ""]))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "own.json"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace("l4-fp8", "own"))
    return path


def test_one_json_line_a_policy_is_printed_and_a_plot_drawn(
    trace: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--trace", str(trace), "--pod-model", str(model), "--json", "--peak-pods", "0"]

    main([*arguments, "--cold-start-seconds", "30", "--plots", str(tmp_path / "plots")])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert tuple(each["policy"] for each in lines) == POLICIES
    for each in lines:
        assert set(each) >= SHOWN
        assert each["requests"] == 250
        assert each["unserved"] == 0
        assert each["cold_start_seconds"] == 30.0
        assert each["warm_up_seconds"] == 1800.0
        assert (tmp_path / "plots" / f"{each['policy']}.png").read_bytes()[:4] == b"\x89PNG"
    named = {each["policy"]: each for each in lines}
    assert named["clairvoyant"]["vs_clairvoyant"] == 1.0
    assert named["clairvoyant"]["slo_attainment"] >= 0.99
    assert named["fixed-peak"]["slo_attainment"] >= 0.99
    assert named["fixed-peak"]["pod_hours"] >= named["clairvoyant"]["pod_hours"]


def test_a_table_with_the_flags_is_printed_when_no_json_is_asked_for(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--trace", str(trace), "--policies", "fixed-mean,hpa-utilisation"]

    outputs = []
    for _ in range(2):
        main([*arguments, "--peak-pods", "2", "--seed", "3"])
        outputs.append(capsys.readouterr().out)

    assert outputs[0] == outputs[1]
    lines = outputs[0].splitlines()
    assert lines[0].split()[0] == "policy"
    assert [line.split()[0] for line in lines[1:3]] == ["fixed-mean", "hpa-utilisation"]
    assert "cold_start_seconds=240.0" in lines[3]
    assert "seed=3" in lines[3]
    assert "warm_up_seconds=1800.0" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--trace", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--pod-model", "nowhere.json"], "nowhere.json: No such file"),
        (["--policies", "facet,luck"], "'luck' is no policy: all, or some of facet"),
        (["--cold-start-seconds", "0"], "a number above 0 is wanted, not '0'"),
        (["--peak-pods", "-3"], "a whole number"),
        (["--batch-share", "1.5"], "a share"),
        (["--stock-out", "900-600"], "two growing seconds"),
        (["--workload", "weekly"], "invalid choice: 'weekly'"),
        (["--trace", "a.csv", "--workload", "zero"], "not allowed with argument --trace"),
    ],
)
def test_it_ends_with_two_and_says_what_is_wrong(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert fault in printed.err
    assert printed.out == ""


def test_matplotlib_is_asked_for_before_the_run_when_only_plots_need_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(SystemExit) as ended:
        main(["--workload", "zero", "--plots", "plots"])

    assert ended.value.code == 2
    assert "facet[simulator]" in capsys.readouterr().err
