"""Metrics, traces and what else the services tell about themselves."""
