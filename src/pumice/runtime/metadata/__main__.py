"""Start the metadata service; see `command`."""

import sys

if __name__ == "__main__":
    # The directories where modules are found follow the settings.
    settings, sys.path[:] = sys.argv[1:6], sys.argv[6:]

    from pumice.runtime.metadata.command import run

    sys.exit(run(settings))
