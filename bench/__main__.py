"""Run the benchmark, write ``bench/results/latest.json`` and the table and plot of the README."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import appc, registry, scenarios, sizes, sliced_sizes, slices, slim_sizes, starts
from bench.measure import interleave, ratio
from bench.mirror import serve
from bench.plot import plot
from bench.scenarios import Scenario, Workshop
from bench.sets import SETS

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS), help="small, large or both")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default 5)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="run only scenarios whose name contains TEXT"
    )
    parser.add_argument(
        "--folder", type=Path, default=_folder(), help="the directory for packages and stores"
    )
    parser.add_argument("--readme", action="store_true", help="update the table in README.md")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets.split(","):
        shop = Workshop(arguments.folder, name)
        for scenario in _scenarios(shop, arguments.only):
            interleave(scenario.contenders, arguments.runs)
            rows += _rows(scenario)
            print(table(rows[-len(scenario.contenders) :]))
    if arguments.only:
        return  # results of a part are not stored
    measurements = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "runs": arguments.runs,
        "rows": rows,
    }
    results_folder = HERE / "results"
    results_folder.mkdir(exist_ok=True)
    (results_folder / "latest.json").write_text(json.dumps(measurements, indent=1) + "\n")
    (results_folder / "latest.svg").write_text(plot(rows))
    if arguments.readme:
        text = README.read_text()
        image = "![the same as bars](bench/results/latest.svg)"
        block = f"<!-- bench -->\n{table(rows)}\n\n{image}\n<!-- /bench -->"
        README.write_text(re.sub(r"<!-- bench -->.*<!-- /bench -->", lambda _: block, text, flags=re.DOTALL))


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pumice-bench"


def _scenarios(shop: Workshop, name_part: str) -> Iterator[Scenario]:
    with ExitStack() as stack:
        shop.local_mirror()
        url = stack.enter_context(serve(shop.root))
        candidates = [
            scenarios.from_the_mirror(shop),
            *scenarios.from_a_local_mirror(shop, url),
            scenarios.one_package_more(shop),
            scenarios.one_file_changed(shop),
            scenarios.evidence(shop),
        ]
        for scenario in candidates:
            if name_part in scenario.name:
                yield scenario


def _rows(scenario: Scenario) -> list[dict[str, object]]:
    pumice_contender = scenario.contenders[0]
    return [
        {
            "work": scenario.name,
            "tool": measurement.name,
            "seconds": round(measurement.wall, 3),
            "processor_seconds": round(
                sorted(run.processor for run in measurement.runs)[len(measurement.runs) // 2], 3
            ),
            "memory_mb": round(measurement.memory),
            "ours_to_theirs": round(ratio(pumice_contender, measurement), 3),
        }
        for measurement in scenario.contenders
    ]


def table(rows: Sequence[dict[str, object]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| work | tool | seconds | memory MB | pumice / tool |", "|---|---|--:|--:|--:|"]
    lines += [
        "| {work} | {tool} | {seconds:.2f} | {memory_mb} | {ours_to_theirs:.2f} |".format_map(row)
        for row in rows
    ]
    return "\n".join(lines)


if sys.argv[1:2] == ["registry"]:
    registry.main(sys.argv[2:])
elif sys.argv[1:2] == ["run"]:
    starts.main(sys.argv[2:])
elif sys.argv[1:2] == ["appc"]:
    sys.exit(appc.main(sys.argv[2:]))
elif sys.argv[1:2] == ["sizes"]:
    sizes.main(sys.argv[2:])
elif sys.argv[1:2] == ["slim"]:
    slim_sizes.main(sys.argv[2:])
elif sys.argv[1:2] == ["sliced"]:
    sliced_sizes.main(sys.argv[2:])
elif sys.argv[1:2] == ["slices"]:
    slices.main(sys.argv[2:])
else:
    main()
