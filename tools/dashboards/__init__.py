"""Grafana's dashboards in the chart, made from a table: `python -m tools.dashboards`."""
