"""Trace files, wrong ones, and their scaling."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from facet.simulator.workloads.trace import TraceError, read_trace

pytestmark = pytest.mark.unit

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def _file(directory: Path, text: str) -> Path:
    path = directory / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_requests_are_in_order_of_time_when_lines_are_not(tmp_path: Path) -> None:
    text = HEADER + (
        "2023-11-16 18:15:50.9951690,396,109\n"
        "2023-11-16 18:15:46.6805900,374,44\r\n"
        "\n"
        "2023-11-16T18:16:46.68+00:00,5,6\n"
    )

    trace = read_trace(_file(tmp_path, text.replace("T18:16:46.68+00:00", " 18:16:46")))
    requests = list(trace.scaled(1.0, 0).arrivals())

    assert [each.prompt_tokens for each in requests] == [374, 396, 5]
    assert [each.output_tokens for each in requests] == [44, 109, 6]
    assert requests[1].arrived_seconds == pytest.approx(4.314579, abs=1e-6)
    assert requests[2].arrived_seconds == pytest.approx(59.31941, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: the header TIMESTAMP,ContextTokens,GeneratedTokens is wanted, not ''"),
        ("time,tokens\n1,2\n", "line 1: the header"),
        (HEADER, "no requests"),
        (HEADER + "2023-11-16 18:15:46,374\n", "line 2: 3 columns are wanted, not 2"),
        (HEADER + "yesterday,374,44\n", "line 2, column TIMESTAMP: a date and time such as"),
        (
            HEADER + "2023-11-16 18:15:46,374,44\n2023-11-16 18:15:46,many,44\n",
            "line 3, column ContextTokens: a whole number of at least 1 is wanted, not 'many'",
        ),
        (HEADER + "2023-11-16 18:15:46,374,0\n", "line 2, column GeneratedTokens"),
        (HEADER + "2023-11-16 18:15:46,-3,4\n", "line 2, column ContextTokens"),
    ],
)
def test_line_and_column_are_named_when_they_are_wrong(
    text: str, fault: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, text)

    with pytest.raises(TraceError) as refused:
        read_trace(path)

    assert str(path) in str(refused.value)
    assert fault in str(refused.value)


def test_the_path_is_named_when_there_is_no_file_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"nowhere\.csv: No such file"):
        read_trace(tmp_path / "nowhere.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="not UTF-8"):
        read_trace(tmp_path / "bytes.csv")


@pytest.fixture
def swinging(tmp_path: Path) -> Path:
    """Twenty minutes, every other one with five times as many requests."""
    lines = []
    for minute in range(20):
        count = 60 if minute % 2 else 12
        for number in range(count):
            second = number * 60 / count
            lines.append(f"2024-01-01 00:{minute:02}:{second:09.6f},{number + 1},{minute + 1}\n")
    return _file(tmp_path, HEADER + "".join(lines))


@pytest.mark.parametrize("load", [0.5, 1.0, 3.0, 7.3])
def test_so_many_requests_come_in_order_when_the_load_is_scaled(
    load: float, swinging: Path
) -> None:
    requests = list(read_trace(swinging).scaled(load, 3).arrivals())

    times = [each.arrived_seconds for each in requests]
    assert len(times) == pytest.approx(720 * load, rel=0.06)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < 1200


def test_the_profile_is_kept_when_the_load_is_scaled(swinging: Path) -> None:
    trace = read_trace(swinging)
    before, after = trace.scaled(1.0, 0).rates(240.0), trace.scaled(8.0, 0).rates(240.0)

    assert after == pytest.approx([8 * rate for rate in before], rel=0.1)
    sizes = Counter(each.output_tokens for each in trace.scaled(8.0, 0).arrivals())
    assert sizes == Counter({m + 1: 8 * (60 if m % 2 else 12) for m in range(20)})


def test_the_trace_itself_is_played_when_the_load_is_one(swinging: Path) -> None:
    trace = read_trace(swinging)

    requests = list(trace.scaled(1.0, 9).arrivals())

    assert [each.prompt_tokens for each in requests[:12]] == list(range(1, 13))
    assert [each.arrived_seconds for each in requests[:3]] == [0.0, 5.0, 10.0]


def test_times_are_stretched_and_nothing_else_when_asked_for(swinging: Path) -> None:
    trace = read_trace(swinging)
    plain, stretched = list(trace.scaled(1, 0).arrivals()), trace.stretched(2.0).scaled(1, 0)

    assert [r.arrived_seconds for r in stretched.arrivals()] == [
        2 * r.arrived_seconds for r in plain
    ]


def test_draws_are_equal_when_the_seed_is(swinging: Path) -> None:
    trace = read_trace(swinging)

    def times(seed: int) -> list[float]:
        return [each.arrived_seconds for each in trace.scaled(2.5, seed).arrivals()]

    assert times(1) == times(1)
    assert times(1) != times(2)
