"""Counts a request's drafted and accepted tokens step by step."""

from __future__ import annotations

import math
from typing import Any


class SpeculationCounter:
    """Turns outputs of vLLM into counts that are exact in total.

    While a request runs, vLLM tells only its new ids: a step brings one id more than it accepted,
    and the first id comes without a draft. That misjudges steps that were merged, cut at the end of
    the answer, or drafted less than usual; the engine's own total, which comes with the last
    output, corrects it, so the last count may be negative. `draft_tokens` is the number of tokens
    drafted a step.
    """

    def __init__(self, draft_tokens: int) -> None:
        self._draft_tokens = draft_tokens
        self._drafted = 0
        self._accepted = 0
        self.is_fresh = True

    def count(self, new_ids: int, totals: Any | None) -> tuple[int, int]:
        """Drafted and accepted tokens since the last call.

        `totals` is vLLM's RequestSpecDecodeMetrics of the whole request, on its last output.
        """
        if not self._draft_tokens:
            self.is_fresh = False
            return 0, 0
        if totals is not None:
            accepted = sum(count * steps for count, steps in enumerate(totals.histogram))
            drafted = totals.num_draft_tokens
        else:
            decoded = new_ids - 1 if self.is_fresh else new_ids
            steps = math.ceil(max(0, decoded) / (self._draft_tokens + 1))
            drafted = self._drafted + steps * self._draft_tokens
            accepted = self._accepted + max(0, decoded) - steps
        self.is_fresh = False
        delta = (drafted - self._drafted, accepted - self._accepted)
        self._drafted, self._accepted = drafted, accepted
        return delta
