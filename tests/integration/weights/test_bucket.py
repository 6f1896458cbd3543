"""Downloads by obstore from a Cloud Storage on loopback."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.integration.weights.test_hub import BOUND_SECONDS, PROGRAM, wait_for_partial

pytestmark = pytest.mark.integration

OBJECTS = {
    "gemma/v1/config.json": b'{"model_type": "gemma4_unified"}',
    "gemma/v1/model.safetensors": bytes(range(256)) * 8192,
    "gemma/v1/pytorch_model.bin": b"never fetched",
    "gemma/v10/config.json": b"another prefix",
}


class FakeStorage:
    """The XML API's list and get, anonymous; `cut_after` ends the next body early."""

    def __init__(self) -> None:
        self.objects = dict(OBJECTS)
        self.status = 0
        self.cut_after: int | None = None
        self.damage = False
        self.pause_after: int | None = None
        self.go_on = threading.Event()
        self.starts: list[int] = []
        self.requests: list[str] = []
        self.address = ""


@pytest.fixture
def storage() -> Iterator[FakeStorage]:  # noqa: C901 - one server
    fake = FakeStorage()

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
                    fake.go_on.wait(BOUND_SECONDS)
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


def start(storage: FakeStorage, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(cache), "gs://models/gemma/v1", ""],
        env=os.environ | {"GOOGLE_BASE_URL": storage.address, "GOOGLE_SKIP_SIGNATURE": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch(storage: FakeStorage, cache: Path) -> subprocess.CompletedProcess[str]:
    process = start(storage, cache)
    out, err = process.communicate(timeout=BOUND_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def assert_whole(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_bytes() for path in Path(done.stdout.strip()).iterdir()}
    names = ("config.json", "model.safetensors")
    assert found == {name: OBJECTS[f"gemma/v1/{name}"] for name in names}


def test_the_objects_of_the_prefix_are_here_when_it_is_fetched(
    storage: FakeStorage, tmp_path: Path
) -> None:
    assert_whole(fetch(storage, tmp_path))


def test_the_store_is_not_asked_when_the_objects_are_here(
    storage: FakeStorage, tmp_path: Path
) -> None:
    assert_whole(fetch(storage, tmp_path))
    storage.requests.clear()

    assert_whole(fetch(storage, tmp_path))

    assert storage.requests == []


def test_the_object_goes_on_when_the_connection_is_cut(
    storage: FakeStorage, tmp_path: Path
) -> None:
    storage.cut_after = 1_500_000

    assert_whole(fetch(storage, tmp_path))


def test_a_killed_download_goes_on_when_it_is_started_again(
    storage: FakeStorage, tmp_path: Path
) -> None:
    storage.pause_after = 1_500_000
    process = start(storage, tmp_path)
    wait_for_partial(tmp_path, 1 << 20)
    process.kill()
    process.communicate(timeout=BOUND_SECONDS)
    assert not list(tmp_path.rglob("*.safetensors"))
    storage.pause_after = None
    storage.go_on.set()
    storage.starts.clear()

    assert_whole(fetch(storage, tmp_path))

    # The rest of the object, then config.json, which shows the checkpoint.
    rest, config = storage.starts
    assert rest >= 1 << 20
    assert config == 0


def test_nothing_is_kept_when_an_object_stays_damaged(storage: FakeStorage, tmp_path: Path) -> None:
    storage.damage = True

    done = fetch(storage, tmp_path)

    assert "DigestError: gs://models/gemma/v1: model.safetensors arrived damaged" in done.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("status", "words"), [(403, "storage.objectViewer"), (404, "gcloud")])
def test_the_remedy_is_named_when_the_store_refuses(
    storage: FakeStorage, tmp_path: Path, status: int, words: str
) -> None:
    storage.status = status

    done = fetch(storage, tmp_path)

    assert done.returncode == 1
    assert "AccessError: gs://models/gemma/v1: " in done.stderr
    assert words in done.stderr
