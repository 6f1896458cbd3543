"""What each tenant may use and how long it is kept: a file that is read anew when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facet.queue.values import Quota

RELOAD_SECONDS = 1.0

_log = structlog.get_logger(__name__)

Limit = Annotated[int, Field(ge=1, le=1 << 50)] | None


class Terms(BaseModel):
    """One tenant's terms; None is no limit, or what holds without a file.

    `retention_seconds`: nothing of an ended generation is kept longer; 0 deletes it as soon as its
    end was delivered. For the others see `facet.queue.values.Quota`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] | None = None
    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    max_concurrent: Limit = None
    max_media_bytes: Limit = None
    retention_seconds: Annotated[int, Field(ge=0, le=1 << 40)] | None = None

    @property
    def quota(self) -> Quota:
        """What a model's queue enforces."""
        return Quota(
            requests_per_minute=self.requests_per_minute or 0,
            tokens_per_minute=self.tokens_per_minute or 0,
            max_concurrent=self.max_concurrent or 0,
        )


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: Terms = Terms()
    tenants: Mapping[str, Terms] = {}


class Tenants:
    """The terms of all tenants: the file's `defaults`, field by field overruled by their own.

    Without a file nobody is limited.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Errors: OSError; ValueError, naming the file and what is wrong in it."""
        self._path = path
        self._document = _Document()
        self._merged: dict[str, Terms] = {}
        self._seen: object = None
        if path is not None:
            self._load(path, _version_of(path))

    @property
    def has_file(self) -> bool:
        """Whether tenants may have limits."""
        return self._path is not None

    def terms(self, tenant: str) -> Terms:
        """What holds for a tenant."""
        own = self._document.tenants.get(tenant)
        if own is None:
            return self._document.defaults
        if tenant not in self._merged:
            self._merged[tenant] = self._document.defaults.model_copy(
                update=own.model_dump(include=own.model_fields_set)
            )
        return self._merged[tenant]

    async def run(self) -> None:
        """Follow the file until cancelled; a bad one is logged and changes nothing."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the file if it is another one than at the last time."""
        if self._path is None:
            return
        try:
            version = _version_of(self._path)
            if version == self._seen:
                return
            self._load(self._path, version)
        except (OSError, ValueError) as error:
            _log.error("tenants.not_reloaded", cause=str(error))
        else:
            _log.info("tenants.reloaded", count=len(self._document.tenants))

    def _load(self, path: Path, version: object) -> None:
        # What is wrong once is logged once.
        self._seen = version
        try:
            document = _Document.model_validate_json(path.read_bytes())
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"])) or "the file"
            raise ValueError(f"{path}: {place}: {fault['msg']}") from error
        self._document, self._merged = document, {}


def _version_of(path: Path) -> object:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
