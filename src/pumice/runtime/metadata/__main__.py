"""Start the metadata service in the background: ``HOME IDLE-SECONDS DIRECTORY …``.

The directories are where modules are found: the process has no environment to say so.
"""

import sys

if __name__ == "__main__":
    home, idle_seconds, *sys.path[:] = sys.argv[1:]

    from pumice.runtime.metadata.service import main

    sys.exit(main(home, float(idle_seconds)))
