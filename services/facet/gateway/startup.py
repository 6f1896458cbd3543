"""What a gateway tells whoever starts it: where it listens, or why it does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

import structlog
from pydantic import ValidationError

from facet.gateway.authenticator import is_loopback
from facet.gateway.settings import GatewaySettings

_log = structlog.get_logger(__name__)


def warn_of_plaintext(settings: GatewaySettings) -> None:
    """Log that others can read what is sent, where they can reach a listener without TLS."""
    listens = [
        listen
        for listen in (settings.listen, settings.admin_listen)
        if listen and not is_loopback(listen)
    ]
    if listens and settings.certificates() is None:
        _log.warning(
            "API keys and prompts cross the network unencrypted: set "
            "FACET_GATEWAY_TLS_CERTIFICATE_FILE and FACET_GATEWAY_TLS_KEY_FILE",
            listens=listens,
        )


def announce(settings: GatewaySettings, addresses: Mapping[str, str]) -> None:
    """Tell where each listener is, by the name of its setting."""
    address, admin = addresses["listen"], addresses["admin_listen"]
    if settings.address_file is not None:
        path = settings.address_file
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(f"{address}\n{admin}\n" if admin else address, encoding="utf-8")
        draft.replace(path)
    more = "".join(
        f" {name.removesuffix('_listen').replace('_', '-')}={where}"
        for name, where in addresses.items()
        if where and name != "listen"
    )
    sys.stdout.write(f"READY grpc={address}{more}\n")
    sys.stdout.flush()


def first_fault(error: ValidationError) -> str:
    """The setting that is wrong, as the environment names it, and why."""
    fault = error.errors()[0]
    name = "_".join(str(part) for part in fault["loc"]).upper()
    return f"FACET_GATEWAY_{name}: {fault['msg']}"


def refuse(reason: str) -> NoReturn:
    """Say in one line why it does not start, and exit with 2."""
    sys.stderr.write(f"facet gateway: {reason}\n")
    raise SystemExit(2)
