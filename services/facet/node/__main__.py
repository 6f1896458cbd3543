"""`python -m facet.node`."""

from facet.node.app import main

if __name__ == "__main__":
    main()
