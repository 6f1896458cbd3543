"""A Kubernetes API server, and the autoscaler's way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from facet.autoscaler.kubernetes_api import KubernetesApi
from tests.support.kubernetes_api import kubernetes_server
from tests.support.kubernetes_cluster import NAMESPACE, KubernetesServer


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubernetesServer]:
    with kubernetes_server() as state:
        path = state.kubeconfig(tmp_path_factory.mktemp("kube") / "config")
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield state


@pytest.fixture
async def api(server: KubernetesServer) -> AsyncIterator[KubernetesApi]:
    connected = KubernetesApi.connect(NAMESPACE)
    yield connected
    connected.close()
