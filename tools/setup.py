"""Set-up of a checkout: `python3.11 -m tools.setup node-cpu|dev-cpu [PROFILE]`.

In the syntax of Python 3.6 like `tools.preflight`, so that an old interpreter reads it and says
which one is needed.
"""

import sys

from tools import preflight

# What the node of this release can start; written here again because nothing is installed yet.
PROFILES = ("nano-cpu",)


def main(arguments: "list[str]") -> int:
    """Check this machine, then bring `.venv` to the lock that is named; the exit status.

    Nothing is installed for a profile that cannot be served then.
    """
    locks = "|".join(preflight.DOWNLOAD_GIB)
    if len(arguments) not in (1, 2) or arguments[0] not in preflight.DOWNLOAD_GIB:
        sys.stderr.write(f"usage: python3.11 -m tools.setup {locks} [PROFILE]\n")
        return 2
    for profile in arguments[1:]:
        if profile not in PROFILES:
            sys.stderr.write(
                f"setup: PROFILE={profile} is not in this release; it has {', '.join(PROFILES)}\n"
            )
            return 2
    if preflight.running_python() != preflight.PYTHON:
        return preflight.run(arguments[0])
    # Python 3.11 syntax from here on.
    from tools import environment  # noqa: PLC0415

    return environment.prepare(environment.ROOT, arguments[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
