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

from bench import registry, scenarios
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
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    parser.add_argument("--folder", type=Path, default=_folder(), help="where packages and stores are kept")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    rows = []
    for name in asked.sets.split(","):
        shop = Workshop(asked.folder, name)
        for scenario in _scenarios(shop, asked.only):
            interleave(scenario.contenders, asked.runs)
            rows += _rows(scenario)
            print(table(rows[-len(scenario.contenders) :]))
    if asked.only:
        return  # a part is no result of the whole
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "runs": asked.runs,
        "rows": rows,
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "latest.json").write_text(json.dumps(result, indent=1) + "\n")
    (results / "latest.svg").write_text(plot(rows))
    if asked.readme:
        text = README.read_text()
        image = "![the same as bars](bench/results/latest.svg)"
        block = f"<!-- bench -->\n{table(rows)}\n\n{image}\n<!-- /bench -->"
        README.write_text(re.sub(r"<!-- bench -->.*<!-- /bench -->", lambda _: block, text, flags=re.DOTALL))


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pumice-bench"


def _scenarios(shop: Workshop, only: str) -> Iterator[Scenario]:
    with ExitStack() as stack:
        shop.local_mirror()
        url = stack.enter_context(serve(shop.root))
        found = [
            scenarios.from_the_mirror(shop),
            *scenarios.from_a_local_mirror(shop, url),
            scenarios.one_package_more(shop),
            scenarios.one_file_changed(shop),
            scenarios.evidence(shop),
        ]
        for scenario in found:
            if only in scenario.name:
                yield scenario


def _rows(scenario: Scenario) -> list[dict[str, object]]:
    ours = scenario.contenders[0]
    return [
        {
            "work": scenario.name,
            "tool": one.name,
            "seconds": round(one.wall, 3),
            "processor_seconds": round(sorted(run.processor for run in one.runs)[len(one.runs) // 2], 3),
            "memory_mb": round(one.memory),
            "ours_to_theirs": round(ratio(ours, one), 3),
        }
        for one in scenario.contenders
    ]


def table(rows: Sequence[dict[str, object]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| work | tool | seconds | memory MB | pumice / tool |", "|---|---|--:|--:|--:|"]
    lines += [
        "| {work} | {tool} | {seconds:.2f} | {memory_mb} | {ours_to_theirs:.2f} |".format_map(row)
        for row in rows
    ]
    return "\n".join(lines)


if sys.argv[1:2] == ["registry"]:
    registry.main(sys.argv[2:])
else:
    main()
