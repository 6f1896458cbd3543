"""A Kubernetes API server on loopback, as far as the autoscaler uses one.

It keeps what clients rely on: writes that name an older version are refused with 409, watches of a
forgotten one are answered 410, lists go by pages.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from tests.support.kubernetes_cluster import BEARER, Fault, Json, KubernetesServer, Write


@contextmanager
def kubernetes_server() -> Iterator[KubernetesServer]:
    """One that serves while the context is open."""
    state = KubernetesServer()

    class Handler(_Handler):
        server_state = state

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that leave are what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        with state.changed:
            state.is_closing = True
            state.changed.notify_all()
        server.shutdown()
        thread.join()
        server.server_close()


class _RefusedError(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: KubernetesServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        """Keep still."""

    def _serve(self) -> None:
        state = self.server_state
        length = int(self.headers.get("Content-Length") or 0)
        body: Json = json.loads(self.rfile.read(length)) if length else {}
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with state.changed:
            state.requests.append((self.command, self.path))
            fault = next((f for f in state.faults if f.matches(self.command, self.path)), None)
            if fault is not None:
                fault.times -= 1
                if fault.times <= 0:
                    state.faults.remove(fault)
        if fault is not None and not fault.is_late and self._fails(fault):
            return
        try:
            self._authenticate()
            if query.get("watch") == "true":
                self._watch(query, fault)
                return
            with state.changed:
                answer = self._answer(url.path, query, body)
        except _RefusedError as refusal:
            self._send(refusal.code, refusal.status)
            return
        if fault is not None and fault.is_late and self._fails(fault):
            return
        self._send(200, answer)

    def _authenticate(self) -> None:
        if not self.headers.get("Authorization", "").startswith(BEARER):
            raise _RefusedError(401, "Unauthorized", "Unauthorized")

    def _fails(self, fault: Fault) -> bool:
        """Wait, cut or refuse; whether there is nothing more to answer."""
        if fault.wait_seconds:
            with self.server_state.changed:
                self.server_state.changed.wait_for(
                    lambda: self.server_state.is_closing, fault.wait_seconds
                )
        if fault.is_cut:
            self.close_connection = True
            self.connection.close()
            return True
        if fault.status:
            refusal = _RefusedError(fault.status, "Fault", f"a fault of {fault.status}")
            self._send(fault.status, refusal.status)
            return True
        return False

    def _send(self, code: int, answer: Json) -> None:
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by the server's clock."""
        at = time.time() if timestamp is None else timestamp
        return super().date_time_string(int(at + self.server_state.server_ahead_seconds))

    def _answer(self, path: str, query: dict[str, str], body: Json) -> Json:
        parts = path.strip("/").split("/")
        method = self.command
        match parts:
            case ["api", "v1", "namespaces", _, "pods"] if method == "GET":
                return self._list_pods(query)
            case ["api", "v1", "namespaces", _, "pods", name] if method == "PATCH":
                return self._patch_pod(name, body)
            case ["apis", "apps", "v1", "namespaces", _, "deployments", name, "scale"]:
                return self._scale(name, query, body)
            case ["apis", "coordination.k8s.io", "v1", "namespaces", _, "leases", *rest]:
                return self._lease(rest, body)
        raise _RefusedError(404, "NotFound", f"no {method} {path}")

    def _list_pods(self, query: dict[str, str]) -> Json:
        state = self.server_state
        names = sorted(n for n, p in state.pods.items() if _is_selected(p, query))
        first = 0
        version = state.version
        if "continue" in query:
            first_text, version_text = query["continue"].split("@")
            first, version = int(first_text), int(version_text)
            if version < state.forgotten:
                raise _RefusedError(410, "Expired", "the continue token is too old")
        limit = min(int(query.get("limit", state.page)), state.page)
        more = f"{first + limit}@{version}" if len(names) > first + limit else ""
        return {
            "kind": "PodList",
            "metadata": {"resourceVersion": str(version), "continue": more},
            "items": [state.pods[name] for name in names[first : first + limit]],
        }

    def _patch_pod(self, name: str, body: Json) -> Json:
        state = self.server_state
        if name not in state.pods:
            raise _RefusedError(404, "NotFound", f'pods "{name}" not found')
        self._check_patch()
        if not all(isinstance(each, str) for each in body["metadata"]["annotations"].values()):
            raise _RefusedError(400, "BadRequest", "an annotation is a string")
        changed = deepcopy(state.pods[name])
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations.update(body["metadata"]["annotations"])
        self._wrote(body)
        state.put_pod(changed)
        return changed

    def _scale(self, name: str, query: dict[str, str], body: Json) -> Json:
        state = self.server_state
        deployment = state.deployments.get(name)
        if deployment is None:
            raise _RefusedError(404, "NotFound", f'deployments.apps "{name}" not found')
        if self.command == "PATCH":
            self._check_patch()
            if body["spec"]["replicas"] < 0:
                raise _RefusedError(422, "Invalid", "spec.replicas: must be 0 or more")
            _check_version(body["metadata"], deployment["metadata"], f"deployments {name}")
            if query.get("dryRun") != "All":
                deployment["spec"]["replicas"] = body["spec"]["replicas"]
                deployment["metadata"]["resourceVersion"] = str(state.next_version())
                self._wrote(body)
        spec = {} if deployment["spec"]["replicas"] == 0 else deployment["spec"]
        return {"kind": "Scale", "metadata": deployment["metadata"], "spec": spec}

    def _lease(self, rest: list[str], body: Json) -> Json:
        state = self.server_state
        if self.command == "POST":
            name = body["metadata"]["name"]
            if name in state.leases:
                raise _RefusedError(409, "AlreadyExists", f'leases "{name}" already exists')
            if "resourceVersion" in body["metadata"]:
                raise _RefusedError(400, "BadRequest", "resourceVersion is not set on creation")
            written = deepcopy(body)
        else:
            name = rest[0]
            if name not in state.leases:
                raise _RefusedError(404, "NotFound", f'leases "{name}" not found')
            if self.command == "GET":
                return state.leases[name]
            if not body["metadata"].get("resourceVersion"):
                raise _RefusedError(422, "Invalid", "resourceVersion: must be specified")
            _check_version(body["metadata"], state.leases[name]["metadata"], f"leases {name}")
            written = deepcopy(body)
        _check_lease(written["spec"])
        written["metadata"]["resourceVersion"] = str(state.next_version())
        state.leases[name] = written
        self._wrote(body)
        return written

    def _check_patch(self) -> None:
        kind = self.headers.get("Content-Type", "")
        if kind not in {"application/merge-patch+json", "application/strategic-merge-patch+json"}:
            raise _RefusedError(415, "UnsupportedMediaType", f"{kind}: no patch of an object")

    def _wrote(self, body: Json) -> None:
        who = self.headers["Authorization"].removeprefix(BEARER)
        path = urlparse(self.path).path
        write = Write(who, self.command, path, body, time.monotonic())
        self.server_state.writes.append(write)

    def _watch(self, query: dict[str, str], fault: Fault | None) -> None:
        state = self.server_state
        since = int(query["resourceVersion"])
        ends_at = time.monotonic() + min(state.watch_seconds, float(query["timeoutSeconds"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            with state.changed:
                if since < state.forgotten:
                    gone = _RefusedError(410, "Expired", "too old resource version").status
                    self._chunk({"type": "ERROR", "object": gone})
                    break
                news = [event for version, event in state.events if version > since]
                if not news:
                    left = ends_at - time.monotonic()
                    if left <= 0 or state.is_closing:
                        break
                    state.changed.wait(min(left, 0.5))
                    continue
                since = state.events[-1][0]
            for event in news:
                if event["type"] == "BOOKMARK" or _is_selected(event["object"], query):
                    self._chunk(event)
            if fault is not None and fault.is_late:
                # Broken off in the middle of a line.
                self.wfile.write(b'20\r\n{"type":')
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: Json) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


def _is_selected(pod: Json, query: dict[str, str]) -> bool:
    labels = pod["metadata"].get("labels", {})
    selector = query.get("labelSelector", "")
    pairs = (each.split("=") for each in selector.split(",") if each)
    return all(labels.get(name) == value for name, value in pairs)


def _check_lease(spec: Json) -> None:
    """As the server does: a positive life, and times with microseconds."""
    try:
        for name in ("renewTime", "acquireTime"):
            datetime.strptime(spec[name], "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError as error:
        raise _RefusedError(400, "BadRequest", f"spec: {error}") from error
    if spec["leaseDurationSeconds"] <= 0 or spec["leaseTransitions"] < 0:
        raise _RefusedError(422, "Invalid", "spec: must be greater than 0")


def _check_version(given: Json, current: Json, what: str) -> None:
    version = given.get("resourceVersion")
    if version is not None and version != current["resourceVersion"]:
        raise _RefusedError(
            409,
            "Conflict",
            f"Operation cannot be fulfilled on {what}: the object has been modified",
        )
