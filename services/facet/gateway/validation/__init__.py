"""Checks of a request before anything is queued: pure, without decoding libraries."""
