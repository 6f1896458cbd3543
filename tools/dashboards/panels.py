"""What a dashboard is made of, and as Grafana's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_COLUMNS = 24
_HEIGHT = 8
# Of Grafana 11, which later ones migrate from by themselves.
_SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Line:
    """One query; `legend` may hold labels, as `{{class}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines over time. `unit` is one of Grafana's: s, short, reqps, percentunit, bytes.

    `text` says what it shows and when to worry. `width` is in columns, of which there are 24.
    """

    title: str
    text: str
    unit: str
    lines: tuple[Line, ...]
    width: int = 12
    is_stacked: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Panels by the title of the row in which they stand. `name` is that of the file."""

    name: str
    title: str
    text: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def document(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": f"facet-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["facet"],
        "editable": True,
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [_links()],
        "templating": {"list": _variables()},
        "panels": _placed(dashboard),
    }


def _placed(dashboard: Dashboard) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = []
    top = 0
    for title, panels in dashboard.rows:
        grid = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        placed.append(
            {"id": len(placed) + 1, "type": "row", "title": title, "gridPos": grid, "panels": []}
        )
        top, left = top + 1, 0
        for panel in panels:
            if left + panel.width > _COLUMNS:
                top, left = top + _HEIGHT, 0
            grid = {"h": _HEIGHT, "w": panel.width, "x": left, "y": top}
            placed.append({"id": len(placed) + 1, "gridPos": grid, **_panel(panel)})
            left += panel.width
        top += _HEIGHT
    return placed


def _panel(panel: Panel) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.is_stacked else "none"}
    custom = {"drawStyle": "line", "fillOpacity": 10, "showPoints": "never", "stacking": stacking}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": line.expr,
                "legendFormat": line.legend or "__auto",
            }
            for index, line in enumerate(panel.lines)
        ],
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        _choice("namespace", "Namespace", "label_values(facet_gateway_serving, namespace)"),
        _choice("model", "Model", "label_values(facet_queue_leases, model)"),
    ]


def _choice(name: str, label: str, query: str) -> dict[str, Any]:
    """A variable of which none chosen means all, those without the label too."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _links() -> dict[str, Any]:
    return {
        "title": "Facet",
        "type": "dashboards",
        "tags": ["facet"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }
