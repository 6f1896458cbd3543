"""Google's metadata server as far as tokens go, over real HTTP on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


class MetadataServer:
    """Answers with `token`, good for `life_seconds`; with `status` when that is not 200."""

    def __init__(self) -> None:
        self.token = "first"
        self.life_seconds = 3600
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_right = (self.path, self.headers["Metadata-Flavor"]) == (_PATH, "Google")
                outer.asked += 1
                self.send_response(outer.status if is_right else 403)
                self.end_headers()
                answer = {"access_token": outer.token, "expires_in": outer.life_seconds}
                self.wfile.write(json.dumps({**answer, "token_type": "Bearer"}).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing: what was asked is counted."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
