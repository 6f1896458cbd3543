"""`python -m facet.simulator`."""

from facet.simulator.app import main

main()
