"""`python -m facet.client` is the command `facet`."""

from facet.client.cli.app import main

if __name__ == "__main__":
    main()
