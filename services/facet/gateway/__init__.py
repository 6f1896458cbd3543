"""The gateway: gRPC in front, queue behind; nothing heavy."""
