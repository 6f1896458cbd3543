"""The queue in Redis keeps the contract of a queue."""

from __future__ import annotations

import pytest

from tests.support.queue_contract.whole import *  # noqa: F403 - the tests themselves

pytestmark = pytest.mark.integration
