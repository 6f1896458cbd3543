"""A document over HTTP(S), read in a bounded time and to a bounded size."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit, urlunsplit

FETCH_SECONDS = 5.0


def fetcher(url: str, *, max_bytes: int) -> Callable[[], bytes]:
    """What reads a URL, blocking for `FETCH_SECONDS` at most; redirects are not followed.

    Errors: ValueError for a URL that is neither https nor of this machine. The reader's: OSError;
    ValueError above `max_bytes`.
    """
    parts = urlsplit(url)
    host, is_https = parts.hostname or "", parts.scheme == "https"
    if not host or not (is_https or (parts.scheme == "http" and _is_loopback_host(host))):
        raise ValueError(f"{url}: want an https URL (http on this machine only)")
    default_port = 443 if is_https else 80
    port = parts.port or default_port
    # As the server is named in `Host`.
    name = f"[{host}]" if ":" in host else host
    authority = name if port == default_port else f"{name}:{port}"
    path = urlunsplit(("", "", parts.path or "/", parts.query, ""))

    def fetch() -> bytes:
        try:
            with closing(socket.create_connection((host, port), FETCH_SECONDS)) as raw:
                return _within_time(
                    raw,
                    lambda: _get(
                        raw, host if is_https else "", authority, path, max_bytes=max_bytes
                    ),
                )
        except HTTPException as error:
            raise OSError(f"the server answered no HTTP: {type(error).__name__}") from error

    return fetch


def _within_time(raw: socket.socket, get: Callable[[], bytes]) -> bytes:
    """Cut the connection after `FETCH_SECONDS`: timeouts of a socket are for one read each."""
    with closing(raw.dup()) as same_connection:

        def cut() -> None:
            with suppress(OSError):
                same_connection.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(FETCH_SECONDS, cut)
        timer.daemon = True
        began = time.monotonic()
        timer.start()
        try:
            content = get()
        except (OSError, HTTPException) as error:
            if time.monotonic() - began >= FETCH_SECONDS:
                raise TimeoutError(f"no whole answer within {FETCH_SECONDS:g} s") from error
            raise
        finally:
            timer.cancel()
            timer.join()
    if time.monotonic() - began >= FETCH_SECONDS:
        raise TimeoutError(f"no whole answer within {FETCH_SECONDS:g} s")
    return content


def _get(raw: socket.socket, tls_host: str, authority: str, path: str, *, max_bytes: int) -> bytes:
    """Over TLS where the certificate is to be one of `tls_host`."""
    with closing(HTTPConnection("")) as connection:
        connection.sock = raw
        if tls_host:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(raw, server_hostname=tls_host)
        headers = {"Accept": "application/json", "Host": authority}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise OSError(f"the server answered {response.status}")
        content = response.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ValueError(f"an answer of more than {max_bytes} bytes")
        return content


def _is_loopback_host(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
