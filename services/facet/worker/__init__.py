"""The worker: claims requests, runs them in an engine, writes their logs."""
