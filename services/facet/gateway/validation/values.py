"""Checks of JSON values: parameters of functions, arguments and results of calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from google.protobuf.struct_pb2 import Struct, Value

from facet.api.v1.generation_pb2 import GenerationRequest
from facet.gateway.validation.findings import Findings

# A crafted request must not hold up everybody else's calls: each takes more than a microsecond.
MAX_VALUES = 20_000
MAX_FINDINGS = 16
MAX_KEY_CHARACTERS = 64

_Path = tuple[str | int, ...]

# Looked at one by one: a list of all would be many times as large as the message.
_CHILDREN: Mapping[str, Callable[[Value], Iterable[tuple[str | int, Value]]]] = {
    "struct_value": lambda value: value.struct_value.fields.items(),
    "list_value": lambda value: enumerate(value.list_value.values),
}


def check_values(request: GenerationRequest, findings: Findings) -> None:
    """Numbers that JSON cannot express are wrong, and so are values without a kind.

    The first `MAX_FINDINGS` are named. All values together are `MAX_VALUES` at most.
    """
    walk = _Walk(findings)
    for path, struct in _structs(request):
        if not walk.through(struct.fields.items(), (path,)):
            findings.wrong(path, f"the request holds more than {MAX_VALUES} values up to here")
            return


class _Walk:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._values_left = MAX_VALUES
        self._findings_left = MAX_FINDINGS

    def through(self, values: Iterable[tuple[str | int, Value]], path: _Path) -> bool:
        """Whether all could be looked at. Messages nest 100 deep at most."""
        for key, value in values:
            self._values_left -= 1
            if self._values_left < 0:
                return False
            kind = value.WhichOneof("kind")
            if kind is None:
                self._wrong((*path, key), "has no value")
            elif kind == "number_value":
                if not math.isfinite(value.number_value):
                    self._wrong((*path, key), "is not a finite number")
            elif kind in _CHILDREN and not self.through(_CHILDREN[kind](value), (*path, key)):
                return False
        return True

    def _wrong(self, path: _Path, description: str) -> None:
        if self._findings_left:
            self._findings_left -= 1
            self._findings.wrong("".join(_texts(path)), description)


def _texts(path: _Path) -> Iterator[str]:
    first, *others = path
    yield str(first)
    for key in others:
        yield f"[{key}]" if isinstance(key, int) else f".{key[:MAX_KEY_CHARACTERS]}"


def _structs(request: GenerationRequest) -> Iterator[tuple[str, Struct]]:
    for index, tool in enumerate(request.tools):
        for number, function in enumerate(tool.function_declarations):
            path = f"request.tools[{index}].function_declarations[{number}].parameters"
            yield path, function.parameters
    for index, content in enumerate(request.contents):
        for number, part in enumerate(content.parts):
            path = f"request.contents[{index}].parts[{number}]"
            if part.HasField("function_call"):
                yield f"{path}.function_call.args", part.function_call.args
            elif part.HasField("function_response"):
                yield f"{path}.function_response.response", part.function_response.response
