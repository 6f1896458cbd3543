"""The queue: port, in-memory twin and Redis adapter."""
