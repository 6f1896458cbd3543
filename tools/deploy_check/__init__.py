"""Everything that can be known of the deployment without a cluster: `make deploy-check`."""
