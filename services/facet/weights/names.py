"""Names of files that others tell: of a listing, a record, an index. Standard library alone."""

from __future__ import annotations


def is_plain_name(name: str) -> bool:
    """Whether it names a file of a folder, and nothing outside of it."""
    return name not in ("", ".", "..") and not any(each in name for each in "/\\\0")
