"""Pods of the chart against the restricted Pod Security Standard and the chart's own rules.

The standard is that of Kubernetes 1.35 for Linux pods, written out here: what is admitted to a
namespace labelled `pod-security.kubernetes.io/enforce: restricted`. Beyond it, the chart's pods
mount no service-account token unless a role is bound to them, write to nothing but volumes, ask
for what they need, take secrets by reference and run images that do not change under a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from tools.deploy_check.outcome import Outcome
from tools.deploy_check.renders import Manifest, Render, Workload, namespace_of

VOLUME_TYPES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SECCOMP_TYPES = {"RuntimeDefault", "Localhost"}
APPARMOR_TYPES = {None, "RuntimeDefault", "Localhost"}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")
_SECRET_NAME = re.compile(
    r"(^|_)(PASS|PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIALS?|AUTH|API_?KEYS?|PRIVATE_KEY)(_|$)"
)
# Settings that say where a secret is or how it is come by.
_NO_SECRET_NAME = re.compile(r"_(FILE|SECONDS|URL|REDIS_CREDENTIALS)$")
_URL_PASSWORD = re.compile(r"://[^/@\s]*:(?!\$\()[^/@\s]+@")
_PASSWORD_ARGUMENT = re.compile(r"^--?(requirepass|masterauth|password|pass)$")


def security(container: Manifest) -> dict[str, Any]:
    """A container's own security context."""
    return container.get("securityContext") or {}


def restricted_problems(workload: Workload) -> Iterator[str]:
    """Why the pods of a workload would not be admitted to a restricted namespace."""
    pod = workload.pod
    pod_security = pod.get("securityContext") or {}
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is on"
    for volume in pod.get("volumes") or []:
        for kind in sorted(volume.keys() - {"name"} - VOLUME_TYPES):
            yield f"volume {volume['name']} is of type {kind}"
    for sysctl in pod_security.get("sysctls") or []:
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']} is not a safe one"
    yield from _context_problems("pod", pod_security)
    for container in workload.containers():
        yield from _container_problems(container, pod_security)


def _context_problems(owner: str, context: Mapping[str, Any]) -> Iterator[str]:
    """What neither a pod's nor a container's security context may hold."""
    if context.get("runAsUser") == 0:
        yield f"{owner}: runAsUser is 0"
    if context.get("runAsNonRoot") is False:
        yield f"{owner}: runAsNonRoot is false"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{owner}: hostProcess is on"
    if (context.get("appArmorProfile") or {}).get("type") not in APPARMOR_TYPES:
        yield f"{owner}: AppArmor is unconfined"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{owner}: seLinuxOptions are not admitted"
    seccomp = context.get("seccompProfile")
    if seccomp is not None and seccomp.get("type") not in SECCOMP_TYPES:
        yield f"{owner}: seccomp is unconfined"


def _container_problems(container: Manifest, pod_security: Mapping[str, Any]) -> Iterator[str]:
    """What the standard asks of each container."""
    name, context = container["name"], security(container)
    yield from _context_problems(name, context)
    if not context.get("runAsNonRoot", pod_security.get("runAsNonRoot")):
        yield f"{name}: runAsNonRoot is not set"
    if not context.get("seccompProfile", pod_security.get("seccompProfile")):
        yield f"{name}: no seccompProfile"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    yield from (f"{name}: {problem}" for problem in _privileges(context))
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"{name}: hostPort {port['hostPort']}"
    for handler in _handlers(container):
        for action in ("httpGet", "tcpSocket"):
            if (handler.get(action) or {}).get("host"):
                yield f"{name}: a probe or hook names a host"


def _privileges(context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("privileged"):
        yield "privileged"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount is {context['procMount']}"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "capabilities do not drop ALL"
    for added in set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"capability {added} is added"


def _handlers(container: Manifest) -> Iterator[Manifest]:
    yield from (container[probe] for probe in _HANDLERS if container.get(probe))
    yield from (container.get("lifecycle") or {}).values()


def hardening_problems(workload: Workload, accounts_with_roles: set[str]) -> Iterator[str]:
    """What the chart promises beyond the standard."""
    pod = workload.pod
    account = pod.get("serviceAccountName", "default")
    mounts_token = pod.get("automountServiceAccountToken") is not False
    if mounts_token and account not in accounts_with_roles:
        yield f"mounts the token of {account}, to which no role is bound"
    if pod.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false: Services' variables would be read as settings"
    for container in workload.containers():
        name, resources = container["name"], container.get("resources") or {}
        if security(container).get("readOnlyRootFilesystem") is not True:
            yield f"{name}: the root file system is writable"
        for resource in ("cpu", "memory"):
            if not (resources.get("requests") or {}).get(resource):
                yield f"{name}: no request of {resource}"
        if not (resources.get("limits") or {}).get("memory"):
            yield f"{name}: no limit of memory"
        yield from (f"{name}: {problem}" for problem in image_problems(container["image"]))
        yield from (f"{name}: {problem}" for problem in secret_problems(container))


def image_problems(image: str) -> Iterator[str]:
    """Why an image may change under its name."""
    if "@sha256:" in image:
        return
    _, _, tag = image.rsplit("/", 1)[-1].partition(":")
    if not tag:
        yield f"image {image} has neither tag nor digest"
    elif not re.search(r"\d", tag):
        yield f"image {image} is not pinned to a version"


def secret_problems(container: Manifest) -> Iterator[str]:
    """Secrets that stand in the pod instead of being referred to."""
    for entry in container.get("env") or []:
        name, value = entry["name"], str(entry.get("value") or "")
        literal = value and not value.startswith("$(") and not value.startswith("/")
        if _URL_PASSWORD.search(value):
            yield f"{name} holds a password in its URL"
        elif literal and _SECRET_NAME.search(name) and not _NO_SECRET_NAME.search(name):
            yield f"{name} is given as text; take it from a Secret"
    words = [str(word) for word in (container.get("command") or []) + (container.get("args") or [])]
    for option, value in pairwise(words):
        if _PASSWORD_ARGUMENT.match(option) and not value.startswith("$("):
            yield f"{option} is followed by a password"


def accounts_with_roles(render: Render) -> set[str]:
    """Service accounts of the release to which a role is bound."""
    return {
        subject["name"]
        for binding in render.of_kind("RoleBinding", "ClusterRoleBinding")
        for subject in binding.get("subjects") or []
        if subject["kind"] == "ServiceAccount"
        and subject.get("namespace", namespace_of(binding)) == namespace_of(binding)
    }


def check_pod_security(renders: Iterable[Render]) -> Outcome:
    """Every pod that the chart makes is admitted to a restricted namespace."""
    outcome = Outcome()
    for render in renders:
        for workload in render.workloads:
            outcome.look(
                f"{render.name}: {workload.title}: {problem}"
                for problem in restricted_problems(workload)
            )
    return outcome


def check_hardening(renders: Iterable[Render]) -> Outcome:
    """Every pod keeps the chart's own rules."""
    outcome = Outcome()
    for render in renders:
        accounts = accounts_with_roles(render)
        for workload in render.workloads:
            outcome.look(
                f"{render.name}: {workload.title}: {problem}"
                for problem in hardening_problems(workload, accounts)
            )
    return outcome
