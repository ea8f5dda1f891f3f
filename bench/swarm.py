"""``python -m bench.swarm [MEGABYTES] [MACHINES]``: what an origin of 10 MB/s sends to machines that share.

Each machine is a network namespace, so this needs root. The aim: four machines that pull an image of 200 MB
at once take at most 1.5 copies from the origin. For comparison, the same without peers.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from tests.support import lan, swarms

ORIGIN_RATE = 10
"""Megabytes per second."""
MOST_COPIES = 1.5


def measure(size: int, machines: int, *, peers: bool) -> dict[str, float]:
    """Pull an image on all machines at once; return the copies that the origin sent, and the seconds."""
    with (
        tempfile.TemporaryDirectory(prefix="pumice-bench-") as folder,
        swarms.swarm(Path(folder), machines, size=size) as swarm,
        swarms.seeding(swarm, "--only-tracker"),
    ):
        lan.limit_rate(swarm.origin, ORIGIN_RATE)
        start = time.perf_counter()
        options = () if peers else ("--no-peers",)
        pulls = [swarms.start_pull(swarm, number, *options) for number in range(machines)]
        for number, process in enumerate(pulls):
            swarms.finish(swarm, process, number)
        seconds = time.perf_counter() - start
        return {"copies": round(swarm.server.sent_size() / size, 3), "seconds": round(seconds, 1)}


def main(arguments: list[str]) -> int:
    """Measure with and without peers, and print the results as JSON; return 1 if the aim is missed."""
    size = int(arguments[0]) * 1_000_000 if arguments else 200_000_000
    machines = int(arguments[1]) if len(arguments) > 1 else 4
    with_peers = measure(size, machines, peers=True)
    without_peers = measure(size, machines, peers=False)
    result = {"size": size, "machines": machines, "peers": with_peers, "no_peers": without_peers}
    print(json.dumps(result, indent=2))
    return 1 if with_peers["copies"] > MOST_COPIES else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
