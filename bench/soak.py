"""``python -m bench.soak [OPERATIONS] [SEED]``: the full soak test of the registry."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.support import soak


def main(arguments: list[str]) -> int:
    """Run the soak test and print its results; return 1 if there are problems."""
    operations = int(arguments[0]) if arguments else 10_000
    seed = int(arguments[1]) if len(arguments) > 1 else 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        start = time.perf_counter()
        result = soak.run(root, operations, seed=seed)
        seconds = time.perf_counter() - start
    for name, count in sorted(result.operations.items()):
        print(f"{name:15}{count:7}")
    print(f"{sum(result.operations.values())} operations by {soak.CLIENTS} clients in {seconds:.1f} s")
    print(f"peak memory of the server: {result.memory / 1e6:.1f} MB")
    print("\n".join(result.problems) or "no problems found")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
