"""Model profiles as typed data, and the planner that fits one into the memory that is there.

Standard library alone: the SDK's installation, set-up and every service read the same profiles.
`catalogue` holds the profiles, `shape` and `kv` the arithmetic of a checkpoint, `planner` the
decision, `machine` what was measured. docs/adr/0014.
"""
