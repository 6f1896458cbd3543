"""Names of settings and ports: what the chart renders, and what services and images have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from facet.autoscaler.settings import AutoscalerSettings
from facet.core.settings import ServiceSettings
from facet.gateway.settings import GatewaySettings
from facet.worker.settings import WorkerSettings
from tests.deploy.conftest import Renderer
from tests.deploy.test_chart_settings import COMING_FIELDS
from tools import golden
from tools.checks import ROOT

pytestmark = pytest.mark.integration

MODELS: dict[str, type[ServiceSettings]] = {
    "GATEWAY": GatewaySettings,
    "WORKER": WorkerSettings,
    "AUTOSCALER": AutoscalerSettings,
}
# Fields that no values render, and why.
_SIMULATED = "only the simulated engine of tests"
_ENVIRONMENT = "for programs on the same machine, which wait for it; a pod has probes"
_POLICY = "a network policy lets KEDA alone in, without a certificate of its own"
LEFT_OUT = {
    ("GATEWAY", "address_file"): _ENVIRONMENT,
    ("AUTOSCALER", "tls_client_ca_file"): _POLICY,
    ("AUTOSCALER", "prometheus_url"): "the gateways are read themselves; extraEnv may name another",
    ("WORKER", "ready_file"): _ENVIRONMENT,
    ("WORKER", "simulated_startup_seconds"): _SIMULATED,
    ("WORKER", "simulated_step_ms"): _SIMULATED,
    ("WORKER", "simulated_prefill_tokens_per_second"): _SIMULATED,
    ("WORKER", "simulated_acceptance_rate"): _SIMULATED,
    ("WORKER", "simulated_kv_tokens"): _SIMULATED,
    ("WORKER", "simulated_faults"): _SIMULATED,
}


def golden_pods() -> Iterator[dict[str, Any]]:
    """The pods of all committed renders, which test_golden holds to the chart."""
    for path in sorted(golden.GOLDEN.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if manifest and manifest["kind"] in ("Deployment", "StatefulSet"):
                yield manifest["spec"]["template"]["spec"]


def golden_fields() -> set[tuple[str, str]]:
    """Service and field of every setting that some values render."""
    names = {
        entry["name"]
        for pod in golden_pods()
        for container in pod["containers"]
        for entry in container.get("env", [])
    }
    found = [re.fullmatch(r"FACET_([A-Z]+)_([A-Z_]+)", name) for name in names]
    return {(match[1], match[2].lower()) for match in found if match}


def test_every_field_is_rendered_by_some_values_or_left_out_for_a_reason() -> None:
    fields = {(service, name) for service, model in MODELS.items() for name in model.model_fields}
    rendered_fields = golden_fields()

    assert fields - rendered_fields == LEFT_OUT.keys()
    assert {field for field in rendered_fields - fields if field[1] not in COMING_FIELDS} == set()


def test_a_coming_field_is_not_a_field_yet() -> None:
    there = {name for model in MODELS.values() for name in model.model_fields}

    assert COMING_FIELDS & there == set()


IMAGES = {
    "facet-gateway": "gateway",
    "facet-autoscaler": "autoscaler",
    "facet-worker-cpu": "worker-cpu",
    "facet-worker": "worker",
}


def exposed(image: str) -> set[int]:
    """Ports that a Dockerfile names."""
    text = (ROOT / "docker" / f"{image}.Dockerfile").read_text()
    (ports,) = re.findall(r"^EXPOSE (.+)$", text, re.MULTILINE)
    return {int(port) for port in ports.split()}


@pytest.mark.parametrize("name", ["gke-l4-spot", "gke-h100", "default", "standalone"])
def test_ports_are_those_of_the_images_when_values_set_none(name: str) -> None:
    checked = set()
    for manifest in yaml.safe_load_all((golden.GOLDEN / f"{name}.yaml").read_text()):
        if not manifest or manifest["kind"] != "Deployment":
            continue
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            image = IMAGES[re.split("[:@]", container["image"].rsplit("/", 1)[-1])[0]]
            ports = {port["containerPort"] for port in container["ports"]}
            assert ports <= exposed(image), container["name"]
            listening = {
                int(entry["value"].rsplit(":", 1)[1])
                for entry in container["env"]
                if entry["name"].endswith("_LISTEN")
            }
            assert listening == ports, container["name"]
            checked.add(image)
    assert len(checked) >= 2


def test_every_exposed_port_is_served_by_some_values(render: Renderer) -> None:
    pools = [{"name": "one", "profile": "nano-cpu", "min": 0, "max": 1}]
    values = {"gateway": {"admin": {"enabled": True}}, "autoscaler": {"mode": "keda"}}
    chart = render({**values, "pools": pools})

    for name in ("gateway", "autoscaler", "worker-one"):
        container = chart.container(f"Deployment/facet-{name}")
        ports = {port["containerPort"] for port in container["ports"]}
        image = IMAGES[container["image"].split(":")[0]]
        assert ports == exposed(image)
