"""Decrypt the file of one descriptor into that of another; see `openpgp_decryption.process`."""

import json
import sys

if __name__ == "__main__":
    request = json.load(sys.stdin)
    sys.path[:] = request["paths"]

    from pumice.trust.openpgp_decryption.child import run

    sys.exit(run(request))
