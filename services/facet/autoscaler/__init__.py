"""The autoscaler: signals, policy, actuators."""
