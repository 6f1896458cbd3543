"""`make deploy-check`: each of its checks finds the defect that it is there for."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import golden, helm
from tools.checks import ROOT
from tools.deploy_check import access, pods, references, settings, sources, values_schema
from tools.deploy_check.__main__ import checks, summary
from tools.deploy_check.outcome import Outcome, guarded, unmet
from tools.deploy_check.renders import Manifest, Render, all_renders, load_objects, title
from tools.deploy_check.schemas import CRDS, check_schemas

pytestmark = pytest.mark.integration

renders = cache(all_renders)
GATEWAY, REDIS = "Deployment/facet-gateway", "StatefulSet/facet-redis"


def default() -> Render:
    """The default render, free to be changed."""
    (render,) = [found for found in renders() if found.name == "default"]
    return Render(render.name, copy.deepcopy(render.objects), render.values)


def find(render: Render, name: str) -> Manifest:
    return next(item for item in render.objects if title(item) == name)


def pod_of(render: Render, name: str = GATEWAY) -> Manifest:
    spec: Manifest = find(render, name)["spec"]["template"]["spec"]
    return spec


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


def test_an_object_is_found_when_its_kind_has_no_such_field() -> None:
    render = default()
    pod_of(render)["servicAccount"] = "typo"

    (problem,) = check_schemas([render]).problems

    assert "servicAccount" in problem
    assert GATEWAY in problem


def test_an_object_is_found_when_kubernetes_has_no_such_kind() -> None:
    render = default()
    find(render, GATEWAY)["apiVersion"] = "apps/v1beta1"

    assert "no apps/v1beta1 Deployment" in check_schemas([render]).problems[0]


def operators_object(spec: dict[str, Any]) -> Render:
    item = {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    return Render("r", [item], {})


def test_an_operators_object_is_judged_when_its_definition_is_there(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
        },
    }
    definition = {
        "group": "example.com",
        "names": {"kind": "Thing"},
        "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}],
    }
    (tmp_path / "thing.yaml").write_text(yaml.safe_dump({"spec": definition}))

    assert check_schemas([operators_object({"size": 1})], tmp_path).problems == []
    assert check_schemas([operators_object({"size": "1"})], tmp_path).problems
    assert check_schemas([operators_object({"sise": 1})], tmp_path).problems


def test_an_operators_object_is_counted_as_unchecked_when_its_definition_is_not_there(
    tmp_path: Path,
) -> None:
    outcome = check_schemas([operators_object({})], tmp_path)

    assert (outcome.count, outcome.problems) == (0, [])
    assert (outcome.kinds["Thing"], outcome.unchecked["Thing"]) == (1, 1)


@pytest.mark.skipif(not CRDS.is_dir(), reason="../shared/crds is not on this machine")
def test_a_scaled_object_is_judged_by_kedas_definition() -> None:
    item = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "x"},
        "spec": {"scaleTargetRef": {"name": "x"}, "triggers": [{"type": "cpu", "metadata": {}}]},
    }
    assert check_schemas([Render("r", [item], {})]).problems == []

    item["spec"]["minReplicas"] = 1  # type: ignore[index]

    (problem,) = check_schemas([Render("r", [item], {})]).problems
    assert "minReplicas" in problem


def _security(field: str, value: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["containers"][0]["securityContext"].update({field: value})


def _pod_field(field: str, value: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod.update({field: value})


def _pod_security(field: str, value: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["securityContext"].update({field: value})


def _container(field: str, value: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["containers"][0].update({field: value})


RESTRICTED: list[tuple[Callable[[Manifest], Any], str]] = [
    (_security("allowPrivilegeEscalation", True), "allowPrivilegeEscalation"),
    (_security("privileged", True), "privileged"),
    (_security("procMount", "Unmasked"), "procMount"),
    (_security("runAsUser", 0), "runAsUser is 0"),
    (_security("runAsNonRoot", False), "runAsNonRoot is false"),
    (_security("capabilities", {}), "drop ALL"),
    (_security("capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}), "SYS_ADMIN"),
    (_security("seccompProfile", {"type": "Unconfined"}), "seccomp is unconfined"),
    (_security("appArmorProfile", {"type": "Unconfined"}), "AppArmor"),
    (_security("seLinuxOptions", {"type": "spc_t"}), "seLinuxOptions"),
    (_pod_security("windowsOptions", {"hostProcess": True}), "hostProcess"),
    (_pod_security("sysctls", [{"name": "kernel.msgmax", "value": "1"}]), "kernel.msgmax"),
    (lambda pod: pod["securityContext"].pop("seccompProfile"), "no seccompProfile"),
    (lambda pod: pod["securityContext"].pop("runAsNonRoot"), "runAsNonRoot is not set"),
    (_pod_field("hostNetwork", True), "hostNetwork"),
    (_pod_field("hostPID", True), "hostPID"),
    (_pod_field("hostIPC", True), "hostIPC"),
    (_pod_field("volumes", [{"name": "v", "hostPath": {"path": "/"}}]), "type hostPath"),
    (_container("ports", [{"containerPort": 1, "hostPort": 1}]), "hostPort 1"),
    (_container("livenessProbe", {"httpGet": {"port": 1, "host": "h"}}), "names a host"),
    (_pod_field("initContainers", [{"name": "init", "image": "i:1"}]), "init: capabilities"),
]


@pytest.mark.parametrize(("change", "told"), RESTRICTED, ids=lambda value: str(value)[:30])
def test_a_pod_is_found_when_a_restricted_namespace_would_not_admit_it(
    change: Callable[[Manifest], Any], told: str
) -> None:
    render = default()
    assert pods.check_pod_security([render]).problems == []

    change(pod_of(render))

    problems = pods.check_pod_security([render]).problems
    assert [problem for problem in problems if told in problem], problems


def _variable(name: str, value: str) -> Callable[[Manifest], Any]:
    return lambda pod: pod["containers"][0]["env"].append({"name": name, "value": value})


HARDENING: list[tuple[Callable[[Manifest], Any], str]] = [
    (lambda pod: pod.pop("automountServiceAccountToken"), "mounts the token"),
    (lambda pod: pod.pop("enableServiceLinks"), "enableServiceLinks"),
    (_security("readOnlyRootFilesystem", False), "writable"),
    (lambda pod: pod["containers"][0]["resources"]["requests"].pop("cpu"), "no request of cpu"),
    (lambda pod: pod["containers"][0].pop("resources"), "no limit of memory"),
    (_container("image", "registry:5000/gateway"), "neither tag nor digest"),
    (_container("image", "gateway:latest"), "not pinned"),
    (_variable("API_KEY", "abc"), "API_KEY is given as text"),
    (_variable("HF_TOKEN", "abc"), "HF_TOKEN is given as text"),
    (_variable("STORE", "redis://:word@store:1/0"), "STORE holds a password"),
    (_container("args", ["--requirepass", "word"]), "followed by a password"),
]


@pytest.mark.parametrize(("change", "told"), HARDENING, ids=lambda value: str(value)[:30])
def test_a_pod_is_found_when_it_breaks_a_rule_of_the_chart(
    change: Callable[[Manifest], Any], told: str
) -> None:
    render = default()
    assert pods.check_hardening([render]).problems == []

    change(pod_of(render))

    problems = pods.check_hardening([render]).problems
    assert [problem for problem in problems if told in problem], problems


def with_role(rule: dict[str, Any], subject: str = "facet-gateway") -> Render:
    render = default()
    account = {"kind": "ServiceAccount", "name": subject}
    more: list[Manifest] = [
        {"kind": "Role", "metadata": {"name": "r"}, "rules": [rule]},
        {
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [account],
        },
    ]
    render.objects.extend(more)
    return render


SCALE = {
    "apiGroups": ["apps"],
    "resources": ["deployments/scale"],
    "verbs": ["get", "patch"],
    "resourceNames": ["facet-worker"],
}


def test_a_role_passes_when_it_is_narrow() -> None:
    outcome = access.check_access([with_role(SCALE)])

    assert (outcome.count, outcome.problems) == (2, [])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verbs": ["*"]}, "verbs holds a wildcard"),
        ({"resources": ["*"]}, "resources holds a wildcard"),
        ({"apiGroups": ["*"]}, "apiGroups holds a wildcard"),
        ({"resources": ["secrets"]}, "grants secrets"),
        ({"verbs": ["impersonate"]}, "grants impersonate"),
        ({"resourceNames": []}, "not narrowed"),
        ({"resources": ["pods"], "verbs": ["delete"]}, "deletes pods"),
    ],
)
def test_a_role_is_found_when_it_grants_too_much(change: dict[str, Any], told: str) -> None:
    problems = access.check_access([with_role({**SCALE, **change})]).problems

    assert [problem for problem in problems if told in problem], problems


def test_a_binding_is_found_when_it_leaves_the_release() -> None:
    assert "is bound to" in access.check_access([with_role(SCALE, "default")]).problems[0]
    render = with_role(SCALE)
    find(render, "RoleBinding/b")["roleRef"]["name"] = "cluster-admin"
    assert "does not render" in access.check_access([render]).problems[0]
    render = with_role(SCALE)
    find(render, "Role/r")["kind"] = "ClusterRole"
    assert "beyond" in access.check_access([render]).problems[0]


def test_an_object_is_found_when_it_lacks_a_label() -> None:
    render = default()
    del find(render, GATEWAY)["metadata"]["labels"]["helm.sh/chart"]

    assert references.check_labels([render]).problems == [
        f"default: {GATEWAY}: no label helm.sh/chart"
    ]


def _scaler(kind: str, name: str) -> Manifest:
    reference = {"kind": "Deployment", "name": name}
    return {"kind": kind, "metadata": {"name": kind}, "spec": {"scaleTargetRef": reference}}


def _rename_selector(render: Render) -> None:
    find(render, "Service/facet-redis")["spec"]["selector"] = {"app": "none"}


def _rename_port(render: Render) -> None:
    find(render, "Service/facet-redis")["spec"]["ports"][0]["targetPort"] = "none"


def _select_others(render: Render) -> None:
    find(render, GATEWAY)["spec"]["selector"] = {"matchLabels": {"a": "b"}}


def _same_variable(render: Render) -> None:
    pod_of(render)["containers"][0]["env"].extend([{"name": "A"}, {"name": "A"}])


def _two_scalers(render: Render) -> None:
    find(render, GATEWAY)["spec"].pop("replicas", None)
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        render.objects.append(_scaler(kind, "facet-gateway"))


def _scaler_and_replicas(render: Render) -> None:
    find(render, GATEWAY)["spec"]["replicas"] = 2
    render.objects.append(_scaler("ScaledObject", "facet-gateway"))


REFERENCES: list[tuple[Callable[[Render], Any], str]] = [
    (_rename_selector, "selects no pod"),
    (_rename_port, "which its pods do not name"),
    (lambda render: pod_of(render).update(serviceAccountName="x"), "runs as x"),
    (lambda render: pod_of(render).update(volumes=[]), "which is no volume"),
    (
        lambda render: find(render, GATEWAY)["spec"].update(selector={"matchLabels": {"a": "b"}}),
        "own pods",
    ),
    (lambda render: render.objects.append(find(render, GATEWAY)), "is rendered twice"),
    (_two_scalers, "has 2 scalers"),
    (_scaler_and_replicas, "has replicas and a scaler"),
    (lambda render: render.objects.append(_scaler("ScaledObject", "x")), "a scaler names"),
    (
        lambda render: pod_of(render)["containers"][0]["env"].extend(
            [{"name": "A"}, {"name": "A"}]
        ),
        "A is given twice",
    ),
]


@pytest.mark.parametrize(("change", "told"), REFERENCES, ids=lambda value: str(value)[:30])
def test_a_release_is_found_when_its_objects_do_not_fit_together(
    change: Callable[[Render], Any], told: str
) -> None:
    render = default()
    assert references.check_references([render]).problems == []

    change(render)

    problems = references.check_references([render]).problems
    assert [problem for problem in problems if told in problem], problems


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        (("FACET_GATEWAY_NONSENSE", "1"), "no setting of the gateway"),
        (("FACET_NOBODY_LISTEN", "0.0.0.0:8470"), "belongs to no service"),
        (("FACET_GATEWAY_ADMIN_LISTEN", "0.0.0.0:7"), "which is no port of the container"),
    ],
)
def test_a_variable_is_found_when_no_service_reads_it(variable: tuple[str, str], told: str) -> None:
    render = default()
    assert settings.check_settings([render]).problems == []

    _variable(*variable)(pod_of(render))

    problems = settings.check_settings([render]).problems
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
