"""The node's folder."""

import json
import os
from pathlib import Path

import pytest

from facet.node.errors import StateDirInUseError
from facet.node.state_dir import MAX_LOG_BYTES, StateDir, write_private

pytestmark = pytest.mark.unit


def test_a_second_node_is_refused_when_the_folder_is_held(tmp_path: Path) -> None:
    with (
        StateDir(tmp_path).locked(),
        pytest.raises(StateDirInUseError, match=rf"pid {os.getpid()}\)"),
        StateDir(tmp_path).locked(),
    ):
        pass


def test_only_the_owner_reads_when_state_is_written(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path / "state")

    state_dir.write_state({"pid": 1})
    state_dir.write_state({"pid": 2})

    written = state_dir.root / "state.json"
    assert json.loads(written.read_text()) == {"pid": 2}
    assert written.stat().st_mode & 0o777 == 0o600
    assert state_dir.root.stat().st_mode & 0o777 == 0o700


def test_the_old_file_is_replaced_whole_when_a_partial_one_was_left(tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_text("left by a killed writer")

    write_private(tmp_path / "x", "new")

    assert (tmp_path / "x").read_text() == "new"
    assert not (tmp_path / "x.partial").exists()


def test_the_last_runs_logs_are_kept_aside_when_a_node_starts(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path)
    state_dir.log("redis").write_text("old")

    state_dir.rotate_logs()

    assert not state_dir.log("redis").exists()
    assert (state_dir.logs / "redis.log.1").read_text() == "old"


def test_a_log_is_cut_and_kept_aside_when_its_writer_lives_on(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path)
    with state_dir.log("worker-0").open("ab", buffering=0) as writer:
        writer.write(b"x" * (MAX_LOG_BYTES + 1))

        state_dir.bound_logs()
        writer.write(b"after")

    assert state_dir.log("worker-0").read_bytes() == b"after"
    assert (state_dir.logs / "worker-0.log.1").stat().st_size == MAX_LOG_BYTES + 1


def test_a_log_is_left_alone_when_it_is_short(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path)
    state_dir.log("redis").write_bytes(b"x" * MAX_LOG_BYTES)

    state_dir.bound_logs()

    assert state_dir.log("redis").stat().st_size == MAX_LOG_BYTES
    assert not (state_dir.logs / "redis.log.1").exists()


def test_a_log_is_cut_all_the_same_when_it_cannot_be_kept(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path)
    state_dir.log("redis").write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    (state_dir.logs / "redis.log.1").mkdir()

    state_dir.bound_logs()

    assert state_dir.log("redis").stat().st_size == 0
