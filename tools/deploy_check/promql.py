"""Where queries of Prometheus name metrics and labels, without understanding the rest of them.

`promtool` judges the syntax; this tells which metric is named in which function and grouping. Only
what rules and dashboards here need is read: groupings stand before what they group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?[a-z]*|\$\w+)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>={}(),])
    |(?P<space>\s+)""",
    re.VERBOSE,
)
_GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass(frozen=True)
class Matcher:
    """`label operator "value"` in a selector."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Call:
    """A function or aggregation around a selector; `by` is None where it groups by nothing."""

    name: str
    by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Use:
    """A metric in a query. `calls` are what stands around it, outermost first."""

    metric: str
    matchers: tuple[Matcher, ...]
    has_range: bool
    calls: tuple[Call, ...]

    @property
    def function(self) -> str:
        """The innermost call; empty where there is none."""
        return self.calls[-1].name if self.calls else ""

    @property
    def groupings(self) -> list[tuple[str, ...]]:
        """By which labels it is aggregated, outermost first."""
        return [call.by for call in self.calls if call.by is not None]


def uses(query: str) -> list[Use]:
    """The metrics of a query; ValueError where it cannot be read."""
    return list(_Reader(query).uses())


class _Reader:
    def __init__(self, query: str) -> None:
        self._tokens = list(_tokens(query))
        self._at = 0

    def uses(self) -> Iterator[Use]:
        # None for parentheses that call nothing.
        open_calls: list[Call | None] = []
        while self._at < len(self._tokens):
            kind, text = self._next()
            if kind == "name" and text in _GROUPINGS:
                self._labels()
            elif kind == "name" and text.lower() not in _WORDS:
                call = self._call(text)
                if call is None:
                    yield self._use(text, tuple(each for each in open_calls if each))
                else:
                    open_calls.append(call)
            elif text == "(":
                open_calls.append(None)
            elif text == ")":
                if not open_calls:
                    raise ValueError("a parenthesis is closed that was not opened")
                open_calls.pop()
            elif kind == "range" or text in "{}":
                raise ValueError(f"{text} belongs to no metric")
        if open_calls:
            raise ValueError("a parenthesis is not closed")

    def _call(self, name: str) -> Call | None:
        """What `name` opens, its parenthesis read; None where it is no call."""
        if self._peek() == "by":
            self._next()
            by = self._labels()
            self._expect("(")
            return Call(name, by)
        if self._peek() == "(":
            self._next()
            return Call(name, () if name in ("sum", "max", "min", "avg", "count") else None)
        return None

    def _use(self, metric: str, calls: tuple[Call, ...]) -> Use:
        matchers = []
        if self._peek() == "{":
            self._next()
            while self._peek() != "}":
                label, operator, (kind, value) = self._next()[1], self._next()[1], self._next()
                if kind != "text":
                    raise ValueError(f"{metric}: {label} is compared with no text")
                matchers.append(Matcher(label, operator, value[1:-1]))
                if self._peek() == ",":
                    self._next()
            self._next()
        has_range = self._at < len(self._tokens) and self._tokens[self._at][0] == "range"
        if has_range:
            self._next()
        return Use(metric, tuple(matchers), has_range, calls)

    def _labels(self) -> tuple[str, ...]:
        self._expect("(")
        names = []
        while (text := self._next()[1]) != ")":
            if text != ",":
                names.append(text)
        return tuple(names)

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise ValueError("the query ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, text: str) -> None:
        found = self._next()[1]
        if found != text:
            raise ValueError(f"{text} is wanted where {found} stands")


def _tokens(query: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            raise ValueError(f"cannot be read from {query[at : at + 20]!r} on")
        at = match.end()
        if match.lastgroup != "space":
            yield str(match.lastgroup), match.group()
