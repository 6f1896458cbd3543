"""HTTP for Prometheus and for probes: `/metrics` and `/health`, in threads of their own.

A scrape is answered while the event loop of the service is busy or hangs.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_SECONDS = 5.0
"""A client that sends nothing, or takes nothing, holds a thread no longer."""

MAX_AT_ONCE = 8
"""Prometheus in two replicas and somebody who looks; more connections are closed unanswered."""


@contextmanager
def serving_metrics(
    listen: str,
    registries: Mapping[str, CollectorRegistry],
    *,
    is_serving: Callable[[], bool],
    note: Callable[[], str] = str,
) -> Iterator[str]:
    """Serve while the context is open; yields the bound `host:port`.

    `registries` are by path. `/health` answers 200 while `is_serving`, which is asked in another
    thread, else 503; `note` is a line more where it is not empty. GET alone is answered. An empty
    `listen` serves nothing and yields "". Errors: OSError when the address cannot be bound.
    """
    if not listen:
        yield ""
        return
    host, _, port = listen.rpartition(":")
    try:
        server = _Server(host.strip("[]"), int(port), _application(registries, is_serving, note))
    except (OSError, OverflowError) as error:
        raise OSError(f"cannot listen on {listen}: in use, or no address of ours") from error
    # Without a timeout it sleeps until somebody comes.
    thread = threading.Thread(
        target=server.serve_forever, args=(None,), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a connection, of which there are few at once."""

    daemon_threads = True
    # Closing waits for no client: a scrape under way is cut off.
    block_on_close = False
    request_queue_size = MAX_AT_ONCE

    def __init__(self, host: str, port: int, application: WSGIApplication) -> None:
        self._room = threading.BoundedSemaphore(MAX_AT_ONCE)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """Bind without asking DNS for the host's name, as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or close where too many are."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread could be started: nobody else gives the room back.
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See `ThreadingMixIn.process_request_thread`."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no fault here."""


def _application(
    registries: Mapping[str, CollectorRegistry],
    is_serving: Callable[[], bool],
    note: Callable[[], str],
) -> WSGIApplication:
    pages = {path: make_wsgi_app(registry) for path, registry in registries.items()}

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "GET":
            return _say(start, "405 Method Not Allowed", "GET\n")
        if path in pages:
            page: Iterable[bytes] = pages[path](environ, start)
            return page
        if path == "/health":
            if is_serving():
                lines = filter(None, ("SERVING", note()))
                return _say(start, "200 OK", "".join(f"{line}\n" for line in lines))
            return _say(start, "503 Service Unavailable", "NOT_SERVING\n")
        return _say(start, "404 Not Found", f"{' '.join(pages)} /health\n")

    return answer


def _say(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    content = text.encode()
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return [content]
