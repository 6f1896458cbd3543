"""Set-up of a checkout: `python3.11 -m tools.setup dev-cpu | serve PROFILE | demo PROFILE`.

In the syntax of Python 3.6 like `tools.preflight`, so that an old interpreter reads it and says
which one is needed.
"""

import os
import sys

from tools import preflight

USAGE = "usage: python3.11 -m tools.setup dev-cpu | serve PROFILE | demo PROFILE\n"


def main(arguments: "list[str]") -> int:
    """Check this machine, then bring `.venv` to what is wanted; the exit status.

    `serve` writes the profile that was chosen to standard output. With it nothing is installed for
    a profile that cannot be served, or whose weights nobody agreed to download.
    """
    purpose, names = arguments[:1], arguments[1:]
    if (purpose, len(names)) not in ((["dev-cpu"], 0), (["serve"], 1), (["demo"], 1)):
        sys.stderr.write(USAGE)
        return 2
    if preflight.running_python() != preflight.PYTHON:
        return preflight.run("dev-cpu")
    # Python 3.11 syntax from here on.
    from tools import environment, serving  # noqa: PLC0415

    if purpose == ["dev-cpu"]:
        return environment.prepare(environment.ROOT, "dev-cpu")
    if purpose == ["demo"]:
        return serving.prepare_demo(environment.ROOT, names[0])
    return serving.prepare(environment.ROOT, names[0], os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
