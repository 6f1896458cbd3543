"""A Hugging Face Hub on loopback: model info, files by HEAD and Range, and faults by switch."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "abcd"
_LFS_BYTES = 4096
_CHUNK = 1 << 16
_INFO = re.compile(r"/api/models/(?P<model>[^/]+/[^/?]+)(?:/revision/[^?]+)?(?:\?.*)?")
_FILE = re.compile(r"/(?P<model>[^/]+/[^/]+)/resolve/[^/]+/(?P<name>[^?]+)")


@dataclass
class FakeHub:
    """`models` holds files by model. Set a fault before a request; what was asked is counted."""

    models: dict[str, dict[str, bytes]]
    address: str = ""
    commit: str = COMMIT
    token: str = ""
    """Wanted in every request; empty for none."""
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Answers of the next requests, status and headers, in order."""
    cut_after: int | None = None
    """The next file body ends after so many bytes."""
    damage: int = 0
    """So many file bodies have one wrong byte."""
    ignores_range: bool = False
    pause_after: int | None = None
    """File bodies stand still after so many bytes, until `go_on`."""
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    sent_bytes: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take this for the Hub."""
        return {"HF_ENDPOINT": self.address, "HF_HUB_DISABLE_TELEMETRY": "1"}


@contextmanager
def fake_hub(models: Mapping[str, Mapping[str, bytes]]) -> Iterator[FakeHub]:
    """Serve until the context ends."""
    hub = FakeHub({name: dict(files) for name, files in models.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one class
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._plain(401, b"", {"X-Error-Code": "GatedRepo"})
            elif hub.failures:
                status, headers = hub.failures.pop(0)
                self._plain(status, b"", headers)
            elif (info := _INFO.fullmatch(self.path)) and info["model"] in hub.models:
                self._plain(200, _info(hub, info["model"]), {})
            elif (file := _FILE.match(self.path)) and file["name"] in hub.models.get(
                file["model"], {}
            ):
                self._file(hub.models[file["model"]][file["name"]], with_body=with_body)
            else:
                self._plain(404, b"", {"X-Error-Code": "RepoNotFound"})

        def _plain(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _file(self, content: bytes, *, with_body: bool) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked and not hub.ignores_range else 0
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("X-Repo-Commit", hub.commit)
            self.send_header("ETag", f'"{_etag(content)}"')
            self.send_header("X-Linked-Etag", f'"{_etag(content)}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.end_headers()
            if with_body:
                self._send(body)

        def _send(self, body: bytes) -> None:
            if hub.damage and body:
                hub.damage -= 1
                body = bytes([body[0] ^ 1]) + body[1:]
            limit, hub.cut_after = hub.cut_after, None
            sent = 0
            for at in range(0, len(body), _CHUNK):
                piece = body[at : at + _CHUNK]
                if limit is not None and sent + len(piece) > limit:
                    self.wfile.write(piece[: limit - sent])
                    hub.sent_bytes += limit - sent
                    self.close_connection = True
                    return
                if hub.pause_after is not None and sent >= hub.pause_after:
                    hub.go_on.wait(60)
                try:
                    self.wfile.write(piece)
                except OSError:
                    self.close_connection = True
                    return
                sent += len(piece)
                hub.sent_bytes += len(piece)

    return Handler


def _is_lfs(content: bytes) -> bool:
    return len(content) >= _LFS_BYTES


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if _is_lfs(content) else _git_blob(content)


def _info(hub: FakeHub, model: str) -> bytes:
    siblings = []
    for name, content in hub.models[model].items():
        entry: dict[str, object] = {
            "rfilename": name,
            "size": len(content),
            "blobId": _git_blob(content),
        }
        if _is_lfs(content):
            entry["lfs"] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "pointerSize": 134,
            }
        siblings.append(entry)
    return json.dumps(
        {"id": model, "modelId": model, "sha": hub.commit, "siblings": siblings, "tags": []}
    ).encode()
