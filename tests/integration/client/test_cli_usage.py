"""`facet admin usage` and `facet admin delete-tenant` against an admin port."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from facet.client.cli.app import main
from facet.client.cli.exit_codes import ExitCode
from tests.integration.client.running_admin import RunningAdmin
from tests.support.stocked_queue import DEAD, FINISHED, SECRET

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    """The gateway's side logs in this process, between what the command prints."""
    with capture_logs():
        yield


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningAdmin]:
    with closing(RunningAdmin()) as running:
        monkeypatch.setenv("FACET_ADMIN_SERVER", running.address)
        monkeypatch.delenv("FACET_API_KEY", raising=False)
        yield running


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command prints when it succeeds."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["admin", *argv])
    assert ended.value.code == ExitCode.OK
    return capsys.readouterr().out


@pytest.mark.usefixtures("admin")
def test_csv_says_all_that_json_does_when_usage_is_exported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = run(capsys, "usage", "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    records = json.loads(run(capsys, "usage", "--json"))
    assert SECRET not in text
    assert [row["generation_id"] for row in rows] == [FINISHED, DEAD]
    for row, record in zip(rows, records, strict=True):
        for name in ("generation_id", "tenant", "model", "create_time", "end_time", "outcome"):
            assert row[name] == record[name]
        assert float(row["queue_seconds"]) == record["queue_time_seconds"]
        assert float(row["run_seconds"]) == record["run_time_seconds"]
        assert int(row["attempts"]) == record["attempts"]
        assert row["is_estimate"] == str(record["is_estimate"]).lower()
    finished, dead = rows
    assert (finished["outcome"], finished["is_estimate"]) == ("finished", "false")
    counts = [
        *("prompt_tokens", "prompt_text_tokens", "prompt_image_tokens", "prompt_audio_tokens"),
        *("prompt_video_tokens", "cached_tokens", "output_tokens", "thought_tokens"),
    ]
    assert [finished[name] for name in counts] == ["3", "1", "2", "0", "0", "1", "5", "4"]
    assert (dead["outcome"], dead["is_estimate"], dead["prompt_tokens"]) == (
        *("dead-lettered", "true"),
        "40",
    )


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (("--tenant", "alice"), 2),
        (("--tenant", "bob"), 0),
        (("--model", "nano"), 2),
        (("--model", "empty"), 0),
        (("--until", "1970-01-01"), 0),
        (("--since", (datetime.now(UTC) + timedelta(days=9)).isoformat()), 0),
        (("--since", "1970-01-01", "--until", "2100-01-01T12:00:00Z"), 2),
    ],
)
def test_only_what_is_asked_for_is_exported_when_filters_are_given(
    capsys: pytest.CaptureFixture[str], filters: tuple[str, ...], count: int
) -> None:
    assert len(json.loads(run(capsys, "usage", "--json", *filters))) == count
    assert len(run(capsys, "usage", *filters).splitlines()) == count
    assert len(run(capsys, "usage", "--csv", *filters).splitlines()) == count + 1


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("argv", [("--since", "yesterday"), ("--model", "none")])
def test_command_fails_when_it_cannot_be_carried_out(argv: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["admin", "usage", *argv])
    assert ended.value.code not in (ExitCode.OK, None)


@pytest.mark.usefixtures("admin")
def test_generations_go_and_usage_stays_when_a_tenant_is_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, "delete-tenant", "alice") == "deleted: 4\n"
    assert run(capsys, "delete-tenant", "alice") == "deleted: 0\n"
    assert json.loads(run(capsys, "dlq", "list", "--json")) == []
    outcomes = [each["outcome"] for each in json.loads(run(capsys, "usage", "--json"))]
    assert sorted(outcomes) == ["cancelled", "cancelled", "dead-lettered", "finished"]
