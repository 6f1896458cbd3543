"""Proves that what is generated or pinned agrees with its sources: `python -m tools.verify`."""

from __future__ import annotations

import filecmp
import sys
import tempfile
from pathlib import Path

from tools import chart_profiles, chart_readme, gen, golden, helm, metrics_doc
from tools.checks import ROOT, Check, run_checks
from tools.dashboards import files as dashboards
from tools.docs_check import doc_problems
from tools.lint import structure_checks
from tools.lock_check import lock_problems


def tree(folder: Path) -> set[str]:
    """Relative paths of the files below, compiled ones left out."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def tree_differences(committed: Path, fresh: Path) -> str:
    """Names of the files that only one side has or that differ."""
    ours, theirs = tree(committed), tree(fresh)
    lines = [f"stale: {name} is no longer generated" for name in sorted(ours - theirs)]
    lines += [f"missing: {name}" for name in sorted(theirs - ours)]
    lines += [
        f"differs: {name}"
        for name in sorted(ours & theirs)
        if not filecmp.cmp(committed / name, fresh / name, shallow=False)
    ]
    return "\n".join(lines)


def stub_differences() -> str:
    """Generate the stubs anew and compare them with the committed ones."""
    with tempfile.TemporaryDirectory() as scratch:
        gen.generate(Path(scratch))
        return tree_differences(gen.API, Path(scratch))


def main() -> int:
    """Run every check; the exit status."""
    return run_checks(
        [
            Check("stubs are generated from protos/", stub_differences, "make gen"),
            *structure_checks(),
            Check("locks fit pyproject.toml", lambda: "\n".join(lock_problems(ROOT)), "make lock"),
            Check("chart: profiles", chart_profiles.differences, "make gen"),
            Check("chart: README", chart_readme.differences, "make gen"),
            Check("chart: dashboards", dashboards.differences, "make gen"),
            Check("docs: metrics", metrics_doc.differences, "make gen"),
            Check("chart: helm lint --strict", helm.lint),
            Check("chart: golden renders", golden.differences, "make gen"),
            Check("docs name what exists", lambda: "\n".join(doc_problems(ROOT))),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
