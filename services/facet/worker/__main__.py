"""`python -m facet.worker`."""

import sys

from facet.worker.app import main
from facet.worker.engine.child_processes import die_with_parent

if __name__ == "__main__":
    # multiprocessing leaves a package's __main__ out of the processes that it spawns; without its
    # spec the module goes by its path and is run in them, as __mp_main__.
    sys.modules["__main__"].__spec__ = None
    main()
elif __name__ == "__mp_main__":
    die_with_parent()
