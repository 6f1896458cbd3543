"""A Cloud Storage on loopback."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_BOUND_SECONDS = 40


class FakeStorage:
    """The XML API's list and get of a bucket `models`, anonymous.

    `cut_after` ends the next body early.
    """

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = dict(objects)
        self.status = 0
        self.cut_after: int | None = None
        self.damage = False
        self.pause_after: int | None = None
        self.go_on = threading.Event()
        self.starts: list[int] = []
        self.requests: list[str] = []
        self.address = ""


@contextmanager
def fake_storage(objects: Mapping[str, bytes]) -> Iterator[FakeStorage]:  # noqa: C901 - one server
    """Serve these objects while the context is open."""
    fake = FakeStorage(objects)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            fake.requests.append(self.path)
            url = urlsplit(self.path)
            name = unquote(url.path).removeprefix("/models").removeprefix("/")
            if fake.status:
                self._send(fake.status, b"<Error/>", {})
            elif not name:
                prefix = parse_qs(url.query).get("prefix", [""])[0]
                self._send(200, _listing(fake.objects, prefix), {"Content-Type": "text/xml"})
            elif name in fake.objects:
                self._object(fake.objects[name])
            else:
                self._send(404, b"<Error/>", {})

        def _object(self, content: bytes) -> None:
            etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
            if self.headers.get("If-Match", etag) != etag:
                self._send(412, b"", {})
                return
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            if self.command == "GET":
                fake.starts.append(start)
            headers = {"ETag": etag, "Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}
            if asked:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if fake.damage:
                content = b"!" * len(content)
            self._send(206 if asked else 200, content[start:], headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            limit, fake.cut_after = (
                (fake.cut_after, None) if len(body) > 100_000 else (None, fake.cut_after)
            )
            self.close_connection = limit is not None
            if self.command == "GET":
                self._write(body[:limit])

        def _write(self, body: bytes) -> None:
            first = body[: fake.pause_after]
            try:
                self.wfile.write(first)
                if len(first) < len(body):
                    fake.go_on.wait(_BOUND_SECONDS)
                    self.wfile.write(body[len(first) :])
            except OSError:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield fake
    fake.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


def _listing(objects: dict[str, bytes], prefix: str) -> bytes:
    contents = "".join(
        f"<Contents><Key>{name}</Key><Size>{len(content)}</Size>"
        f'<ETag>"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"</ETag>'
        "<LastModified>2026-11-24T10:00:00.000Z</LastModified></Contents>"
        for name, content in objects.items()
        if name.startswith(prefix)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>models</Name>'
        f"<Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    ).encode()
