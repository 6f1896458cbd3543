"""Style and structure: `python -m tools.lint` (make lint)."""

from __future__ import annotations

import sys

from tools.checks import ROOT, Check, command_check, run_checks


def structure_checks() -> list[Check]:
    """What holds for protos and imports; part of `make verify` too."""
    return [
        command_check("protos: buf lint", "buf", "lint", "protos"),
        command_check(
            "protos: buf format",
            "buf",
            "format",
            "--diff",
            "--exit-code",
            "protos",
            remedy="make format",
        ),
        command_check("imports: service boundaries", "lint-imports", "--no-cache"),
    ]


def main() -> int:
    """Run the linters; the exit status."""
    dockerfiles = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docker/*.Dockerfile"))
    return run_checks(
        [
            command_check(
                "python: ruff check", "ruff", "check", "--output-format", "concise", "--quiet", "."
            ),
            command_check(
                "python: ruff format",
                "ruff",
                "format",
                "--check",
                "--output-format",
                "concise",
                ".",
                remedy="make format",
            ),
            *structure_checks(),
            command_check("docker: hadolint", "hadolint", *dockerfiles),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
