"""`python -m facet.autoscaler`."""

from facet.autoscaler.app import main

main()
