"""Load tests with Locust; docs/development.md tells how to run them."""
