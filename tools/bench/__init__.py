"""Benchmarks of the delivery core: `python -m tools.bench.queue` and `... .streams`."""
