"""What the autoscaler tells of its signals, decisions and writes."""

from __future__ import annotations

from facet.core.telemetry.metrics import Catalogue

AUTOSCALER = Catalogue("Autoscaler", "Told by every replica of the autoscaler.")
