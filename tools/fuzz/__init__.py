"""Wrong input of every kind against the real handlers: `python -m tools.fuzz` (make fuzz)."""
