"""A fake gateway per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.client.fake_gateway import FakeGateway


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    # What it does not implement answers UNIMPLEMENTED; only the stubs call it abstract.
    fake = FakeGateway()  # type: ignore[abstract]
    fake.start()
    yield fake
    fake.stop()
