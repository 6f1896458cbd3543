"""The tasks that the nano checkpoint learns, one module each.

`TASKS[name].example(seed)` gives a held-out example: plain data, with the media as files.
"""

from tools.nano.tasks import (
    choosing,
    copying,
    counting,
    facts,
    listening,
    listing,
    recalling,
    reversing,
    seeing,
    tool_calling,
    watching,
)
from tools.nano.tasks.example import Example, Message, Part, Task, ToolCall

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (
        copying,
        reversing,
        facts,
        recalling,
        choosing,
        tool_calling,
        counting,
        listing,
        seeing,
        listening,
        watching,
    )
}
"""Every task by name."""

__all__ = ["TASKS", "Example", "Message", "Part", "Task", "ToolCall"]
