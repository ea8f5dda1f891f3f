"""``python -m bench.soak [OPERATIONS] [SEED]``: the soak test of the registry at its full length."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.support import soak


def main(arguments: list[str]) -> int:
    """Run it and print what came of it; 1 if anything was not as it should be."""
    operations = int(arguments[0]) if arguments else 10_000
    seed = int(arguments[1]) if len(arguments) > 1 else 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        started = time.perf_counter()
        done = soak.run(root, operations, seed=seed)
        seconds = time.perf_counter() - started
    for name, count in sorted(done.operations.items()):
        print(f"{name:15}{count:7}")
    print(f"{sum(done.operations.values())} operations by {soak.CLIENTS} clients in {seconds:.1f} s")
    print(f"server's memory at its worst: {done.memory / 1e6:.1f} MB")
    print("\n".join(done.problems) or "nothing was lost, and nothing is there that should not be")
    return 1 if done.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
