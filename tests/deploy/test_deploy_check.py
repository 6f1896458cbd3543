"""`make deploy-check`: what it finds in the files of the chart and the images; how it ends."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import golden, helm
from tools.checks import ROOT
from tools.deploy_check import sources, values_schema
from tools.deploy_check.__main__ import checks, summary
from tools.deploy_check.outcome import Outcome, guarded, unmet
from tools.deploy_check.renders import all_renders, load_objects

pytestmark = pytest.mark.integration


@pytest.fixture
def chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the chart that a test may break."""
    copied = Path(shutil.copytree(helm.CHART, tmp_path / "facet"))
    monkeypatch.setattr(helm, "CHART", copied)
    return copied


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_lint_and_renders_fail_when_a_template_is_broken(chart: Path) -> None:
    (chart / "templates" / "broken.yaml").write_text("{{ .Values.none.such }}\n")

    assert sources.check_lint().problems
    assert "cannot run" in guarded(lambda: Outcome(len(all_renders()))).problems[0]


def test_a_guard_may_refuse_bare_values_when_it_says_what_to_set(chart: Path) -> None:
    guard = chart / "templates" / "guards.yaml"
    guard.write_text('{{ fail "auth: set auth.existingSecret" }}')
    assert sources.check_bare_values().problems == []

    guard.write_text('{{ fail "no" }}')
    assert sources.check_bare_values().problems


def test_a_stale_render_is_found_when_the_chart_has_changed(chart: Path) -> None:
    replace(chart / "Chart.yaml", "appVersion:", "appVersion: 9.9.9 #")

    assert [line for line in sources.check_golden().problems if "9.9.9" in line]


@pytest.mark.parametrize(
    "action",
    [
        "{{ randAlphaNum 8 }}",
        "{{- $x := now -}}",
        '{{ genCA "ca" 365 }}',
        '{{ lookup "v1" "Secret" }}',
    ],
)
def test_a_template_is_found_when_it_draws_at_random(chart: Path, action: str) -> None:
    assert sources.check_templates().problems == []

    (chart / "templates" / "_random.tpl").write_text(action)

    (problem,) = sources.check_templates().problems
    assert problem.startswith("_random.tpl: uses ")


def test_text_and_comments_are_not_taken_for_functions() -> None:
    text = '{{/* now */}}{{ fail "set it now" }} # rand {{ .Values.nowhere }}'

    assert list(sources.template_problems(text)) == []


def test_a_key_is_found_when_it_is_given_twice() -> None:
    with pytest.raises(yaml.YAMLError, match="'a' is given twice"):
        load_objects("a: 1\na: 2\n")


STRICT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "model": {"type": "string", "description": "The model."},
        "labels": {
            "type": "object",
            "description": "Labels.",
            "additionalProperties": {"type": "string"},
        },
    },
}


def _schema_problems(chart: Path, schema: dict[str, Any], values: dict[str, Any]) -> list[str]:
    (chart / "values.schema.json").write_text(json.dumps(schema))
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    return values_schema.check_values_schema().problems


def test_the_schema_of_values_passes_when_it_is_strict_and_complete(chart: Path) -> None:
    assert _schema_problems(chart, STRICT, {"model": "nano", "labels": {"a": "b"}}) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("additionalProperties"), "says nothing of additionalProperties"),
        (lambda s: s.update(additionalProperties=True), "lists properties and takes others"),
        (lambda s: s["properties"]["model"].pop("description"), "model has no description"),
        (lambda s: s["properties"].pop("model"), "values.yaml has model"),
        (lambda s: s["properties"].update(x={"description": "x"}), "the schema has x"),
        (lambda s: s["properties"]["model"].update(type="integer"), "$.model"),
        (lambda s: s.update(type="thing"), "no JSON Schema"),
        (lambda s: s["properties"]["labels"].pop("additionalProperties"), "says nothing"),
    ],
)
def test_the_schema_of_values_is_found_wanting(
    chart: Path, change: Callable[[Any], Any], told: str
) -> None:
    schema = copy.deepcopy(STRICT)
    change(schema)

    problems = _schema_problems(chart, schema, {"model": "nano", "labels": {}})

    assert [problem for problem in problems if told in problem], problems


def test_a_dockerfile_is_found_when_hadolint_objects(tmp_path: Path) -> None:
    (tmp_path / "gateway.Dockerfile").write_text("FROM python\nRUN cd /tmp\n")

    assert [line for line in sources.check_dockerfiles(tmp_path).problems if "DL3006" in line]


def test_compose_is_found_when_it_builds_from_nothing(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    services = {"a": {"build": {"context": ".", "dockerfile": "no.Dockerfile"}}, "b": {}}
    path.write_text(yaml.safe_dump({"services": services}))

    outcome = sources.check_compose(path)

    assert outcome.count == 2
    assert ["no.Dockerfile" in outcome.problems[0], "neither" in outcome.problems[1]] == [True] * 2


def test_cloud_build_is_found_when_it_builds_from_nothing_or_leaves_one_out(tmp_path: Path) -> None:
    path = tmp_path / "cloudbuild.yaml"
    (tmp_path / "gateway.Dockerfile").write_text("FROM scratch\n")
    path.write_text(yaml.safe_dump({"steps": [{"args": ["-f", "docker/no.Dockerfile"]}]}))

    problems = "\n".join(sources.check_cloud_build(path).problems)

    assert "no.Dockerfile is not there" in problems
    assert "gateway.Dockerfile is not built" in problems
    assert "step 0 has no image" in problems


def test_checks_fail_when_a_tool_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_helm() -> Path:
        raise FileNotFoundError("helm")

    monkeypatch.setattr(helm, "helm_binary", no_helm)
    monkeypatch.setattr(sources, "BIN", tmp_path)
    named = checks(all_renders)

    for name in ("helm-lint", "helm-template", "golden", "dockerfiles", "schemas", "network"):
        (problem,) = guarded(named[name]).problems
        assert problem.startswith("cannot run: "), name


def test_a_check_and_a_kind_are_failures_when_they_count_nothing() -> None:
    outcomes = {"schemas": Outcome(1), "network": Outcome()}
    outcomes["schemas"].kinds["Service"] = 1

    assert unmet(outcomes, {"Service", "Role"}) == [
        "network: nothing was checked",
        "no Role is rendered with any of the CI values",
    ]
    result = summary(outcomes, {"Service", "Role"})
    assert result["failures"] == 2


def test_every_kind_of_the_templates_must_be_rendered(chart: Path) -> None:
    (chart / "templates" / "job.yaml").write_text("{{ if .Values.none }}\nkind: Job\n{{ end }}\n")

    assert "Job" in sources.template_kinds()


def test_the_command_ends_in_one_line_of_json_without_a_failure() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.deploy_check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert done.returncode == 0, done.stderr
    assert (result["failures"], result["failed"]) == (0, [])
    assert result["checks"]["network"] > 1000
    assert result["checks"]["golden"] == len(list(golden.GOLDEN.glob("*.yaml")))
    assert sum(result["kinds"].values()) == sum(
        len(load_objects(path.read_text())) for path in golden.GOLDEN.glob("*.yaml")
    )
