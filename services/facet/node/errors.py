"""Why a node does not run. The message is what the operator reads."""


class NodeError(Exception):
    """The node cannot start or go on."""


class StateDirInUseError(NodeError):
    """Another node runs in the same folder."""


class ServerNotFoundError(NodeError):
    """No Redis server is installed."""


class StartFailedError(NodeError):
    """A process ended, or was not ready in time, while the node started."""
