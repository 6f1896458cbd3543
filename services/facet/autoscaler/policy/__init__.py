"""The scaling policy: pure functions from signals and state to a decision."""

from facet.autoscaler.policy.deciding import decide
from facet.autoscaler.policy.settings import PolicySettings, PoolSettings, SloSettings
from facet.autoscaler.policy.state import PolicyState
from facet.autoscaler.policy.stored_state import from_json, to_json

__all__ = [
    "PolicySettings",
    "PolicyState",
    "PoolSettings",
    "SloSettings",
    "decide",
    "from_json",
    "to_json",
]
