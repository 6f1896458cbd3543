"""An identity provider on loopback: keys, tokens, and a JWKS endpoint that can be made to fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://issuer.test"
AUDIENCE = "facet"


class IdentityProvider:
    """Signs tokens with keys by id and serves their public halves.

    `answer` replaces the JWKS with other bytes, `status` its status, `trickles` has it sent a byte
    at a time until the client is gone.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.fetches = 0
        self.status = 200
        self.answer: bytes | None = None
        self.trickles = False
        self.url = ""
        self.add("first")

    def add(self, key_id: str, key: Any = None) -> None:
        """List a key; an RSA key of its own unless one is given."""
        self.keys[key_id] = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> bytes:
        """The public keys."""
        entries = []
        for key_id, key in self.keys.items():
            is_ec = isinstance(key, ec.EllipticCurvePrivateKey)
            algorithm: Any = jwt.algorithms.ECAlgorithm if is_ec else jwt.algorithms.RSAAlgorithm
            entry = algorithm.to_jwk(key.public_key(), as_dict=True)
            entries.append({**entry, "kid": key_id, "use": "sig"})
        return json.dumps({"keys": entries}).encode()

    def token(
        self,
        key_id: str = "first",
        *,
        algorithm: str = "RS256",
        key: Any = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """A token of tenant acme, valid for a minute, with claims of one's own instead."""
        now = int(time.time())
        said = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60, "tenant": "acme"}
        said |= claims
        for name in without:
            del said[name]
        signing = self.keys[key_id] if key is None else key
        return jwt.encode(said, signing, algorithm=algorithm, headers={"kid": key_id})


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """One that serves while the context is open."""
    provider = IdentityProvider()
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.fetches += 1
            body = provider.jwks() if provider.answer is None else provider.answer
            self.send_response(provider.status)
            if provider.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if provider.trickles:
                for byte in body:
                    if closing.wait(0.05):
                        return
                    self.wfile.write(bytes([byte]))
            else:
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Keep still."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that leave are what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}/jwks"
    try:
        yield provider
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
