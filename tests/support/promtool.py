"""Prometheus' own opinion of what a service tells."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

_SECONDS = 10.0

Labels = frozenset[tuple[str, str]]


def scrape(address: str, path: str = "/metrics") -> str:
    """What a listener shows."""
    with urllib.request.urlopen(f"http://{address}{path}", timeout=_SECONDS) as answer:
        text: str = answer.read().decode()
        return text


def check_metrics(text: str) -> None:
    """Fail unless `promtool check metrics` finds nothing wrong, and something to check."""
    tool = shutil.which("promtool")
    if tool is None:
        raise RuntimeError("promtool is not on PATH: install Prometheus (Debian: prometheus)")
    assert "# TYPE facet_" in text
    done = subprocess.run(
        [tool, "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    said = done.stdout + done.stderr
    assert (done.returncode, said) == (0, ""), said


class Scraped:
    """Samples of one scrape by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 where there is none."""
        labels = {key.rstrip("_"): value for key, value in labels.items()}
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, among others."""
        wanted = {(key.rstrip("_"), value) for key, value in labels.items()}
        return sum(
            value for (found, own), value in self.samples.items() if found == name and wanted <= own
        )

    def names(self) -> set[str]:
        """Names of all samples."""
        return {name for name, _ in self.samples}

    def counts(self) -> dict[tuple[str, Labels], float]:
        """Those that never fall: counters, and counts and sums of histograms."""
        ends = ("_total", "_count", "_sum", "_bucket")
        return {key: value for key, value in self.samples.items() if key[0].endswith(ends)}
