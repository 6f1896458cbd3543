"""docs/gke.md names only what exists: values, files, make targets and commands of Facet."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from facet.client.cli.app import build_parser
from facet.profiles.catalogue import W4A16_CPU
from tests.deploy.conftest import Manifest, Renderer
from tools import helm
from tools.checks import ROOT
from tools.deploy_check.pods import restricted_problems
from tools.deploy_check.renders import load_objects, workload_of
from tools.deploy_check.schemas import built_in_validator, is_built_in, object_problems
from tools.deploy_check.values_schema import resolved

pytestmark = pytest.mark.integration

TEXT = (ROOT / "docs" / "gke.md").read_text()
SCHEMA = json.loads((helm.CHART / "values.schema.json").read_text())
_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```yaml\n# ([\w-]+\.yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# tls.crt and tls.key are files.
_VALUE = re.compile(
    r"`(?!tls\.(?:crt|key)`)((?:gateway|worker|redis|networkPolicy|auth|autoscaler|ingress|tls|serviceAccounts)\.[\w.]+)`"
)
# What Google's reference of each command lists, of that the flags that are used.
FLAGS = {
    "artifacts repositories create": "repository-format location",
    "auth configure-docker": "",
    "compute addresses create": "global",
    "compute addresses describe": "global format",
    "compute disks update": "zone access-mode",
    "config set": "",
    "container clusters create": "location release-channel machine-type num-nodes"
    " enable-dataplane-v2 enable-ip-alias workload-pool addons enable-managed-prometheus",
    "container clusters get-credentials": "location",
    "container node-pools create": "cluster location machine-type accelerator spot"
    " enable-autoscaling min-nodes max-nodes num-nodes disk-type disk-size",
    "network-connectivity service-connection-policies create": "region network service-class"
    " subnets",
    "projects add-iam-policy-binding": "role member condition",
    "projects describe": "format",
    "redis clusters create": "region shard-count replica-count network auth-mode"
    " transit-encryption-mode redis-config",
    "redis clusters describe": "region format",
    "redis clusters get-cluster-certificate-authority": "region format",
    "redis instances create": "region tier size redis-version transit-encryption-mode enable-auth"
    " redis-config",
    "redis instances describe": "region format",
    "redis instances get-auth-string": "region",
    "services enable": "",
    "storage buckets add-iam-policy-binding": "role member",
    "storage buckets create": "location uniform-bucket-level-access",
    "storage cp": "recursive",
}


def commands() -> Iterator[list[str]]:
    """The words of each command, continuation lines joined."""
    for block in _SHELL.findall(TEXT):
        for line in textwrap.dedent(block).replace("\\\n", " ").splitlines():
            yield shlex.split(line)


def of_program(*words: str) -> list[list[str]]:
    return [
        found[index:]
        for found in commands()
        for index in range(len(found))
        if tuple(found[index : index + len(words)]) == words
    ]


def manifests() -> dict[str, str]:
    """The files that a reader writes, by name."""
    return dict(_YAML.findall(TEXT))


def objects() -> dict[str, Manifest]:
    """What these files make, by `Kind/name`."""
    texts = [text for name, text in manifests().items() if name != "values.yaml"]
    found = [item for text in texts for item in load_objects(text)]
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in found}


def ci_values(name: str) -> Any:
    return yaml.safe_load((helm.CHART / "ci" / f"{name}-values.yaml").read_text())


def is_value(path: str) -> bool:
    schema: dict[str, Any] = SCHEMA
    for name in path.split("."):
        schema = resolved(schema, SCHEMA)
        if "properties" not in schema:
            return schema.get("type") == "object"
        if name not in schema["properties"]:
            return False
        schema = schema["properties"][name]
    return True


def test_values_of_the_chart_exist() -> None:
    given = [
        setting.split("=")[0]
        for action in ("install", "upgrade")
        for command in of_program("helm", action, "facet")
        for option, setting in pairwise(command)
        if option == "--set"
    ]
    named = _VALUE.findall(TEXT)

    assert len(given) >= 3
    assert len(named) >= 20
    assert [path for path in given + named if not is_value(path)] == []


def test_files_of_the_repository_exist() -> None:
    paths = [word for command in commands() for word in command if word.startswith("deploy/")]

    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_values_of_ci_are_named_with_their_folder() -> None:
    assert f"{helm.CHART.relative_to(ROOT)}/ci/" in TEXT


def test_every_secret_of_the_values_is_made() -> None:
    made = {command[4] for command in of_program("kubectl", "create", "secret", "generic")}
    wanted = set()
    for path in helm.values_files():
        if path.name.startswith(("gke-", "default-")):
            wanted |= set(re.findall(r"\w*[sS]ecret: ([\w-]+)", path.read_text()))

    assert wanted <= made


def test_commands_of_facet_are_understood() -> None:
    parser = build_parser()
    called = [command[1:] for command in of_program("facet")]
    called = [words for words in called if words and words[0] in {"models", "generate", "plan"}]
    called += [shlex.split(words) for words in re.findall(r"`facet (plan --[^`]+)`", TEXT)]

    assert len(called) >= 3
    for words in called:
        parser.parse_args(words)


def test_flags_of_gcloud_are_those_of_its_reference() -> None:
    called = of_program("gcloud") + [
        ["gcloud", *shlex.split(line.partition("$(gcloud ")[2].rstrip(")"))]
        for block in _SHELL.findall(TEXT)
        for line in block.splitlines()
        if "$(gcloud " in line
    ]
    used: dict[str, set[str]] = {}
    for words in called:
        (name,) = [name for name in FLAGS if words[1 : len(name.split()) + 1] == name.split()]
        flags = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
        used.setdefault(name, set()).update(flags)

    assert used == {name: set(flags.split()) for name, flags in FLAGS.items()}


def test_every_file_is_applied_and_every_applied_file_is_written() -> None:
    applied = {
        word
        for command in commands()
        for word in command
        if word.endswith(".yaml") and "/" not in word and "kubectl" in command
    }

    assert applied - {"my-values.yaml"} == manifests().keys() - {"values.yaml"}
    assert len(applied) == 5


def test_manifests_are_what_kubernetes_asks_for() -> None:
    built_in = [item for item in objects().values() if is_built_in(item)]

    assert len(built_in) >= 5
    for item in built_in:
        judge = built_in_validator(item["kind"], item["apiVersion"])
        assert object_problems(item, judge) == []


def test_pods_are_admitted_to_the_namespace() -> None:
    jobs = [found for item in objects().values() if (found := workload_of(item))]

    assert jobs
    for job in jobs:
        assert list(restricted_problems(job)) == []


def test_weights_are_where_the_values_look_for_them() -> None:
    (pool,) = ci_values("gke-h100")["pools"]
    claim = pool["weights"]["volume"]["persistentVolumeClaim"]["claimName"]
    volume = objects()["PersistentVolume/facet-weights"]["spec"]
    (container,) = objects()["Job/weights-fill"]["spec"]["template"]["spec"]["containers"]

    assert volume["claimRef"] == {"name": claim, "namespace": "facet"}
    assert objects()[f"PersistentVolumeClaim/{claim}"]["spec"]["volumeName"] == "facet-weights"
    assert container["command"][:3] == ["python", "-m", "facet.client"]
    made = build_parser().parse_args(container["command"][3:])
    assert made.profile == pool["profile"]
    assert made.to == Path("/weights/bf16")
    assert "`path: bf16/target` and `drafterPath: bf16/drafter`" in TEXT


def test_issuer_and_certificate_are_those_that_the_values_name() -> None:
    values = ci_values("gke-ingress")
    issuer = objects()[f"Issuer/{values['tls']['issuerRef']['name']}"]
    ca = objects()[f"Certificate/{issuer['spec']['ca']['secretName']}"]["spec"]
    managed = values["ingress"]["annotations"]["networking.gke.io/managed-certificates"]

    assert ca["isCA"] is True
    assert ca["secretName"] == issuer["spec"]["ca"]["secretName"]
    assert f"Issuer/{ca['issuerRef']['name']}" in objects()
    domains = objects()[f"ManagedCertificate/{managed}"]["spec"]["domains"]
    assert domains == [values["ingress"]["host"]]


def test_values_of_a_cluster_render(render: Renderer) -> None:
    values = yaml.safe_load(manifests()["values.yaml"])
    values["redis"]["auth"] = {"existingSecret": ""}
    chart = render(values)

    (_, redis, *_) = chart["NetworkPolicy/facet-gateway"]["spec"]["egress"]
    assert {"protocol": "TCP", "port": 11000, "endPort": 13047} in redis["ports"]


def test_a_worker_fits_the_machine_that_is_made_for_it() -> None:
    (pool,) = [
        command
        for command in of_program("gcloud", "container", "node-pools", "create")
        if command[4] == "cpu"
    ]
    (machine,) = [word.partition("=")[2] for word in pool if word.startswith("--machine-type=")]

    assert re.fullmatch(r"c3-highcpu-\d+", machine)
    assert int(machine.rpartition("-")[2]) == W4A16_CPU.resources.cpu + 1
    assert "nodeSelector: {cloud.google.com/gke-nodepool: cpu}" in TEXT
