"""Ports that several processes listen on together."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def shared_port(listen: str) -> Iterator[str]:
    """Keep a port for processes that share it while the context is open; yields its `host:port`.

    The kernel lets only this user's processes join. An empty `listen` keeps none and yields "".
    Errors: OSError when the address cannot be bound, in use by others included.
    """
    if not listen:
        yield ""
        return
    host, _, number = listen.rpartition(":")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(number), type=socket.SOCK_STREAM
        )[0]
        with ExitStack() as stack:
            # Sharing would join whoever else shares this port, another gateway among them.
            with socket.socket(family, kind) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(address)
                alone.listen(1)
                address = alone.getsockname()
            kept = stack.enter_context(socket.socket(family, kind))
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            kept.bind(address)
            held = stack.pop_all()
    except OSError as error:
        raise OSError(f"cannot listen on {listen}: in use, or no address of ours") from error
    with held:
        yield f"{host}:{address[1]}"
