"""Who sets the number of pods: the policy, the usual autoscalers, fixed sizes, a clairvoyant."""
