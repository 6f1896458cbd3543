"""What services tell of themselves: metrics with their listener, traces, and their settings."""
