"""The simulator: the real scaling policy and queue discipline over simulated pods."""
