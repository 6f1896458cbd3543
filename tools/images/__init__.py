"""The container images: which there are, how they are built, and a check that runs them."""
