"""docker/compose.yaml against settings, Dockerfiles and profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from facet.autoscaler.settings import AutoscalerSettings
from facet.core.settings import ServiceSettings
from facet.gateway.settings import GatewaySettings
from facet.profiles.catalogue import PROFILES
from facet.worker.settings import WorkerSettings
from tools.checks import ROOT
from tools.images.catalogue import GATEWAY, IMAGES, WORKER, WORKER_CPU, version

pytestmark = pytest.mark.integration

SETTINGS: dict[str, type[ServiceSettings]] = {
    "AUTOSCALER": AutoscalerSettings,
    "GATEWAY": GatewaySettings,
    "WORKER": WorkerSettings,
}
FACET = {
    "gateway": GATEWAY,
    "gateway-gemma": GATEWAY,
    "worker-nano-cpu": WORKER_CPU,
    "worker-w4a16-cpu": WORKER_CPU,
    "worker-gpu": WORKER,
}
SERVED_BY = {
    "cpu": ("worker-nano-cpu", "nano-cpu"),
    "gpu": ("worker-gpu", "w4a16"),
    "w4a16-cpu": ("worker-w4a16-cpu", "w4a16-cpu"),
}


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def variables(texts: Any) -> Iterator[str]:
    """Names of settings in an environment or a Dockerfile."""
    for text in texts:
        yield from re.findall(r"FACET_(?:GATEWAY|WORKER|AUTOSCALER)_[A-Z_]+", text)


def check_setting(name: str) -> None:
    """Fail unless a service reads it."""
    _, service, field = name.split("_", 2)
    assert field.lower() in SETTINGS[service].model_fields, name


def test_every_variable_is_a_setting_of_a_service(compose: Any) -> None:
    found = [
        name
        for service in compose["services"].values()
        for name in variables(service.get("environment", {}))
    ]

    assert len(found) >= 16
    for name in found:
        check_setting(name)


def test_every_variable_of_an_image_is_a_setting_of_a_service() -> None:
    for image in IMAGES:
        found = set(variables([(ROOT / image.dockerfile).read_text()]))
        assert found, image
        for name in found:
            check_setting(name)


@pytest.mark.parametrize("name", FACET)
def test_service_is_built_from_its_dockerfile(compose: Any, name: str) -> None:
    service, image = compose["services"][name], FACET[name]

    assert service["build"] == {"context": "..", "dockerfile": str(image.dockerfile)}
    reference = f"${{FACET_REGISTRY:-localhost}}/{image.repository}:${{FACET_TAG:-{version()}}}"
    assert service["image"] == reference


def test_every_service_is_hardened(compose: Any) -> None:
    assert compose["services"].keys() == {"redis", *FACET}
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert any(mount.startswith("/tmp:") for mount in service["tmpfs"]), name
        assert service["mem_limit"], name
        assert "privileged" not in service, name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_every_service_tells_its_health(compose: Any) -> None:
    assert "PONG" in compose["services"]["redis"]["healthcheck"]["test"][-1]
    for name, image in FACET.items():
        assert "healthcheck" not in compose["services"][name]
        assert "\nHEALTHCHECK " in (ROOT / image.dockerfile).read_text()


def test_secrets_are_files_that_the_head_of_the_file_makes(compose: Any) -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text()
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
        assert re.search(rf"^#.*> {re.escape(secret['file'])}$", text, re.MULTILINE)
    used = {name for service in compose["services"].values() for name in service["secrets"]}
    assert used == compose["secrets"].keys()


def test_a_machine_of_16_gib_holds_the_variant_without_a_gpu(compose: Any) -> None:
    units = {"m": 1, "g": 1024}
    limits = [
        int(service["mem_limit"][:-1]) * units[service["mem_limit"][-1]]
        for service in compose["services"].values()
        if "w4a16-cpu" in service.get("profiles", ["w4a16-cpu"])
    ]

    assert len(limits) == 3
    assert sum(limits) <= 16 * 1024


def test_the_head_of_the_file_names_every_variant(compose: Any) -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text()
    named = set(
        re.findall(r"^#   docker compose --profile ([\w-]+) up --build$", text, re.MULTILINE)
    )
    variants = {
        name for service in compose["services"].values() for name in service.get("profiles", [])
    }

    assert named == variants == SERVED_BY.keys()


@pytest.mark.parametrize("variant", SERVED_BY)
def test_worker_has_the_resources_and_the_model_of_its_profile(compose: Any, variant: str) -> None:
    name, profile_name = SERVED_BY[variant]
    worker, profile = compose["services"][name], PROFILES[profile_name]
    workers = [
        key
        for key, service in compose["services"].items()
        if key.startswith("worker") and variant in service["profiles"]
    ]
    gateways = [
        service
        for service in compose["services"].values()
        if variant in service.get("profiles", [])
        and "FACET_GATEWAY_MODELS" in service["environment"]
    ]

    assert workers == [name]
    assert worker["profiles"] == [variant]
    assert worker["cpus"] == str(profile.resources.cpu)
    assert worker["mem_limit"] == f"{profile.resources.memory_limit_mib}m"
    assert worker["shm_size"] == f"{profile.resources.shared_memory_mib}m"
    assert ("deploy" in worker) == (profile.resources.gpus == 1)
    assert worker["environment"]["FACET_WORKER_PROFILE"] == profile_name
    assert "FACET_WORKER_MODEL" not in worker["environment"]
    (gateway,) = gateways
    assert gateway["environment"]["FACET_GATEWAY_MODELS"] == f'["{profile.model}"]'
    assert profile.lock in (ROOT / FACET[name].dockerfile).read_text()
