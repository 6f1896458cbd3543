"""`make deploy-check`: what it finds in the objects that the chart renders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.changed_render import GATEWAY, default, find, pod_of
from tools.deploy_check import access, pods, references, settings
from tools.deploy_check.renders import Manifest, Render
from tools.deploy_check.schemas import CRDS, check_schemas

pytestmark = pytest.mark.integration


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
