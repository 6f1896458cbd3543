"""Whether every variable and port that the chart renders is one that the service reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from facet.client.cli.arguments import ADDRESS_VARIABLE, API_KEY_VARIABLE, TLS_VARIABLE
from facet.core.settings import ServiceSettings
from tools.checks import ROOT
from tools.deploy_check.outcome import Outcome
from tools.deploy_check.renders import Manifest, Render, Workload


def settings_of(*services: str) -> Mapping[str, type[ServiceSettings]]:
    """The settings of each service that exists, by the word that its variables begin with."""
    return {
        service.upper(): getattr(
            import_module(f"facet.{service}.settings"), f"{service.capitalize()}Settings"
        )
        for service in services
        if (ROOT / "services" / "facet" / service / "settings.py").exists()
    }


SETTINGS = settings_of("gateway", "worker", "autoscaler")
_PREFIX = "FACET_"
# Of the command line, which `helm test` runs.
_CLIENT = {ADDRESS_VARIABLE, API_KEY_VARIABLE, f"{TLS_VARIABLE}_CA"}


def variable_problems(name: str) -> Iterator[str]:
    """Why neither a service nor the command line reads a variable."""
    if name in _CLIENT:
        return
    service, _, field = name.removeprefix(_PREFIX).partition("_")
    if service not in SETTINGS:
        yield f"{name} belongs to no service"
    elif field.lower() not in SETTINGS[service].model_fields:
        yield f"{name} is no setting of the {service.lower()}"


def port_problems(container: Manifest) -> Iterator[str]:
    """Addresses to listen on whose port the container does not declare."""
    declared = {str(port["containerPort"]) for port in container.get("ports") or []}
    for entry in container.get("env") or []:
        name, value = entry["name"], str(entry.get("value") or "")
        if name.startswith(_PREFIX) and name.endswith("LISTEN") and value:
            port = value.rpartition(":")[2]
            if port not in declared:
                yield f"{name} is {value}, which is no port of the container"


def _variables(workload: Workload) -> Iterator[str]:
    for container in workload.containers():
        for entry in container.get("env") or []:
            if entry["name"].startswith(_PREFIX):
                yield entry["name"]


def check_settings(renders: Iterable[Render]) -> Outcome:
    """Each variable of each pod counts, and each container's ports."""
    outcome = Outcome()
    for render in renders:
        for workload in render.workloads:
            where = f"{render.name}: {workload.title}"
            for name in _variables(workload):
                outcome.look(f"{where}: {problem}" for problem in variable_problems(name))
            for container in workload.containers():
                outcome.look(f"{where}: {problem}" for problem in port_problems(container))
    return outcome
