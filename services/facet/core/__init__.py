"""What every service shares: errors, settings, logs, media store."""
