"""What each tenant may use and how long it is kept: a file that is read anew when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facet.core.hot_reload import HotReload, read_bounded
from facet.queue.values import Quota

MAX_FILE_BYTES = 16 << 20
"""Hundreds of thousands of tenants fit."""

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
        self.has_file = path is not None
        """Whether tenants may have limits."""
        if path is None:
            self._table = HotReload("tenants", bytes, lambda _: _Table(_Document()))
            return
        self._table = HotReload(
            f"tenants of {path}",
            lambda: read_bounded(path, MAX_FILE_BYTES),
            lambda content: _Table(parse_tenants(content, str(path))),
        )

    def terms(self, tenant: str) -> Terms:
        """What holds for a tenant."""
        return self._table.value.terms(tenant)

    async def run(self) -> None:
        """Follow the file until cancelled; a bad one is logged and changes nothing."""
        await self._table.run()

    async def check(self) -> None:
        """Read the file now."""
        await self._table.check()


class _Table:
    """One document's terms, merged when first asked for."""

    def __init__(self, document: _Document) -> None:
        self._document = document
        self._merged: dict[str, Terms] = {}

    def terms(self, tenant: str) -> Terms:
        own = self._document.tenants.get(tenant)
        if own is None:
            return self._document.defaults
        if tenant not in self._merged:
            self._merged[tenant] = self._document.defaults.model_copy(
                update=own.model_dump(include=own.model_fields_set)
            )
        return self._merged[tenant]


def parse_tenants(content: bytes, name: str) -> _Document:
    """The file's document. Errors: ValueError, naming the file and the place in it."""
    try:
        return _Document.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise ValueError(f"{name}: {place}: {fault['msg']}") from error
