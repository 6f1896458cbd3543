"""A fake gateway per test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.integration.client.fake_gateway import FakeGateway
from tests.integration.client.wire import Wire


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with _running() as fake:
        yield fake


@pytest.fixture
def other_gateway() -> Iterator[FakeGateway]:
    """A second gateway of the same deployment."""
    with _running() as fake:
        yield fake


@contextmanager
def _running() -> Iterator[FakeGateway]:
    # What it does not implement answers UNIMPLEMENTED; only the stubs call it abstract.
    fake = FakeGateway()  # type: ignore[abstract]
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def wire(gateway: FakeGateway) -> Iterator[Wire]:
    """A way to the gateway that can be cut."""
    with closing(Wire(gateway.port)) as cuttable:
        yield cuttable
