"""Builds, trains and evaluates the nano checkpoint (see docs/nano.md)."""
