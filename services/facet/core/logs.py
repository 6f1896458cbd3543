"""Structured logs: JSON lines on standard error, levels by name, no prompt text."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog
from structlog.typing import Processor

from facet.core.hot_reload import CHECK_SECONDS, HotReload, read_bounded

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_MAX_FILE_BYTES = 64

# What `logging` gets from libraries looks the same as our own lines.
_MARKED: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


_log = structlog.get_logger(__name__)


def configure_logs(level: str, *, service: str) -> None:
    """Set up structlog for a service process. `level` is a name such as INFO.

    Lines bear what is bound in their context: service, trace, request and generation.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_MARKED, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler])
    structlog.configure(
        processors=[*_MARKED, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    set_log_level(level)
    structlog.contextvars.bind_contextvars(service=service)


def set_log_level(level: str) -> None:
    """Log what is at least as severe as `level` from here on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(number)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))


async def follow_log_level(level: str, file: Path | None) -> None:
    """Have the level that a file holds in force while it holds one, else `level`; for ever.

    The file need not be there. One that holds no level is logged once and changes nothing.
    """
    if file is None:
        return
    in_force = level.upper()
    source = HotReload("log level", partial(_read, file), partial(_parse, in_force), in_force)
    while True:
        await source.check()
        if source.value != in_force:
            in_force = source.value
            set_log_level(in_force)
            _log.warning("log.level", least=in_force)
        await asyncio.sleep(CHECK_SECONDS)


def _read(file: Path) -> bytes:
    try:
        return read_bounded(file, _MAX_FILE_BYTES)
    except FileNotFoundError:
        return b""


def _parse(configured: str, content: bytes) -> str:
    name = content.decode(errors="replace").strip().upper()
    if not name:
        return configured
    if name not in LEVELS:
        raise ValueError(f"{name!r} is no level, want one of {', '.join(LEVELS)}")
    return name
