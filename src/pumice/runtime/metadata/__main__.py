"""Start the metadata service in the background; see `service`."""

import sys

if __name__ == "__main__":
    from pumice.runtime.metadata.service import main

    sys.exit(main(sys.argv[1:]))
