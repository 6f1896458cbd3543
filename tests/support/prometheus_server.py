"""A real Prometheus as a child process of a test."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_SECONDS = 10.0
# Shorter windows of the queries that are tested then have several samples.
_INTERVAL = "500ms"


class PrometheusServer:
    """Answers queries over what it scraped, and judges its rules."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def query(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query; HTTPError where it is none."""
        found: list[dict[str, Any]] = self._get("query", {"query": query})["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their `health` and `lastError`."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            self.query("vector(1)")
        except OSError:
            return False
        return True

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        address = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
            return json.load(answer)["data"]


@contextlib.contextmanager
def prometheus(
    folder: Path, targets: Iterable[str], groups: list[dict[str, Any]]
) -> Iterator[PrometheusServer]:
    """Run one over these addresses and rule groups, on a free port of 127.0.0.1."""
    tool = shutil.which("prometheus")
    if tool is None:
        raise RuntimeError("prometheus is not on PATH: install it (Debian: prometheus)")
    (folder / "facet.rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    config = {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "rule_files": ["facet.rules.yaml"],
        "scrape_configs": [{"job_name": "facet", "static_configs": [{"targets": sorted(targets)}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [
        tool,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield PrometheusServer(port)
        finally:
            process.terminate()
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
