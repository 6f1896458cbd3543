"""Writes the dashboards into the chart: `python -m tools.dashboards`."""

import sys

from tools.dashboards.files import write

if __name__ == "__main__":
    sys.exit(write())
