"""Engines: the port, and its adapters `vllm` and `simulated`."""
