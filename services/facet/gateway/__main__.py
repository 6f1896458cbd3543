"""`python -m facet.gateway`."""

from facet.gateway.app import main

main()
