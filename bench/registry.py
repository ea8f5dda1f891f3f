"""Measure registries and their clients side by side: ``bench/results/registry.json``, a table, a plot.

    python -m bench registry [--runs N] [--only WORD] [--registry NAME]

Contenders run in turn, so that changes in the speed of the machine affect all. Results are medians; the
last column is the median of the ratios of adjacent runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import clients, images, loads, servers
from bench.images import Image
from bench.measure import Contender, interleave
from bench.servers import Server

HERE = Path(__file__).parent
SMALL_IMAGE = (26 << 20,)
LARGE_IMAGE = (100 << 20,) * 4
UPLOAD = (400 << 20,)
CLIENTS = 200


@dataclass
class Row:
    """The results of one tool for one kind of work; ``speeds`` are in ``unit``, or the inverse of seconds."""

    work: str
    tool: str
    unit: str
    speeds: list[float] = field(default_factory=list)
    memory: float = 0.0
    errors: int = 0

    def cells(self, ours: Row) -> dict[str, object]:
        speed = statistics.median(self.speeds)
        factor = statistics.median(
            pumice_speed / speed_of_run
            for pumice_speed, speed_of_run in zip(ours.speeds, self.speeds, strict=True)
        )
        formatted = {"s": f"{1 / speed:.2f} s", "/s": f"{speed:,.0f} /s"}
        return {
            "work": self.work,
            "tool": self.tool,
            "result": formatted.get(self.unit) or f"{speed / (1 << 30):.2f} GB/s",
            "memory_mb": round(self.memory),
            "errors": self.errors,
            "pumice_times_as_fast": round(factor, 2),
            "speeds": [round(run_speed, 4) for run_speed in self.speeds],
        }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench registry", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender (default: 5)")
    parser.add_argument("--seconds", type=int, default=2, help="duration of each run of wrk (default: 2)")
    parser.add_argument("--only", default="", help="measure only work whose name contains WORD")
    parser.add_argument("--registry", default="distribution3", help="registry that clients push to")
    parser.add_argument("--folder", type=Path, default=loads.folder(), help="directory for all files")
    options = parser.parse_args(arguments)
    missing = {name: how for name, how in servers.PEERS.items() if servers.find(name) is None}
    missing |= {name: how for name, how in clients.PEERS.items() if not clients.find(name)}
    for name, how in missing.items():
        print(f"skipped, not installed: {name} ({how})")
    rows: list[dict[str, object]] = []
    with servers.running(options.folder / "servers") as running:
        bench = Bench(running, options)
        for group in bench.groups():
            cells = [row.cells(group[0]) for row in group]
            rows += cells
            print(table(cells) if len(rows) == len(cells) else "\n".join(table(cells).splitlines()[2:]))
    machine = f"{platform.machine()}, {os.cpu_count()} processors"
    report = {"machine": machine, "runs": options.runs, "missing": sorted(missing), "rows": rows}
    (HERE / "results").mkdir(exist_ok=True)
    name = f"registry{'-' + options.only.replace(' ', '-') if options.only else ''}"
    (HERE / "results" / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")


class Bench:
    """The running registries, and the measurements."""

    def __init__(self, running: list[Server], options: argparse.Namespace) -> None:
        self.running = running
        self.runs: int = options.runs
        self.seconds: int = options.seconds
        self.only: str = options.only
        self.folder: Path = options.folder
        self.small = images.make(self.folder / "small", SMALL_IMAGE)
        by_name = {server.name: server for server in running}
        self.target = by_name.get(options.registry, running[-1])
        for server in running:
            clients.put(server, "bench/app", self.small)

    def groups(self) -> Iterator[list[Row]]:
        """Yield the rows for one kind of work after the other, Pumice first."""
        for work, measure in self._works():
            if self.only in work:
                yield measure(work)
        if self.only in "memory of the registry":
            yield [
                Row("memory of the registry", server.name, "/s", [1.0], server.memory)
                for server in self.running
            ]
        for kind in ("push", "pull"):
            work = f"{kind} 400 MB, {self.target.name}"
            if self.only in work:
                yield self._measure_clients(work, kind)

    def _works(self) -> list[tuple[str, Callable[[str], list[Row]]]]:
        base = "/v2/bench/app"
        layer = f"{base}/blobs/{self.small.layers[0]}"
        return [
            (
                "manifest by tag, 32 connections",
                lambda w: self._measure_requests(w, f"{base}/manifests/1", 32),
            ),
            (
                "manifest by digest, 32 connections",
                lambda w: self._measure_requests(w, f"{base}/manifests/{self.small.manifest}", 32),
            ),
            (
                "small blob, 32 connections",
                lambda w: self._measure_requests(w, f"{base}/blobs/{self.small.config}", 32),
            ),
            ("26 MB layer, 4 connections", lambda w: self._measure_requests(w, layer, 4, large=True)),
            ("400 MB upload, PATCH and PUT", lambda w: self._measure_uploads(w, streamed=True)),
            ("400 MB upload, PUT", lambda w: self._measure_uploads(w, streamed=False)),
            (f"{CLIENTS} pulls of 26 MB at once", self._measure_pulls),
        ]

    def _measure_each(self, work: str, unit: str, measure: Callable[[Server, int, Row], float]) -> list[Row]:
        rows = [Row(work, server.name, unit) for server in self.running]
        for number in range(self.runs):
            for server, row in zip(self.running, rows, strict=True):
                row.speeds.append(measure(server, number, row))
                row.memory = server.memory
        return rows

    def _measure_requests(self, work: str, path: str, connections: int, *, large: bool = False) -> list[Row]:
        def measure(server: Server, _: int, __: Row) -> float:
            requests, speed = loads.wrk(server, path, connections, self.seconds)
            return speed if large else requests

        return self._measure_each(work, "B/s" if large else "/s", measure)

    def _measure_uploads(self, work: str, *, streamed: bool) -> list[Row]:
        image = images.make(self.folder / "upload", UPLOAD)
        (digest,) = image.layers

        def measure(server: Server, number: int, _: Row) -> float:
            os.sync()  # so that no contender waits for the writes of another
            name = f"bench/upload-{number}-{streamed}".lower()
            return loads.upload(server, name, image.blob(digest), digest, streamed=streamed)

        return self._measure_each(work, "B/s", measure)

    def _measure_pulls(self, work: str) -> list[Row]:
        def measure(server: Server, _: int, row: Row) -> float:
            seconds, failed = loads.pulls(server, "bench/app", self.small, CLIENTS)
            row.errors += failed
            return 1 / seconds

        return self._measure_each(work, "s", measure)

    def _measure_clients(self, work: str, kind: str) -> list[Row]:
        """Measure pushes or pulls, each with new content, because some clients cache what a registry has."""
        unique = int(time.time())
        images_by_number: dict[int, Image] = {}

        def image(number: int) -> Image:
            if number not in images_by_number:
                images_by_number.clear()
                images_by_number[number] = images.make(self.folder / "large", LARGE_IMAGE, unique + number)
                if kind == "pull":
                    clients.put(self.target, f"bench/pull-{unique}-{number}", images_by_number[number])
            os.sync()
            return images_by_number[number]

        environment = servers.login(self.running, self.folder / "login")
        with ExitStack() as stack:
            contenders = clients.contenders(
                kind, self.target, f"{kind}-{unique}", image, self.folder, environment, stack
            )
            interleave(contenders, self.runs)
        return [_row(work, contender) for contender in contenders]


def _row(work: str, contender: Contender) -> Row:
    return Row(work, contender.name, "s", [1 / run.wall for run in contender.runs], contender.memory)


def table(rows: Sequence[dict[str, object]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| work | tool | result | memory MB | errors | pumice is … times as fast |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        if str(row["work"]).startswith("memory"):
            lines.append(f"| {row['work']} | {row['tool']} | | {row['memory_mb']} | | |")
            continue
        text = "| {work} | {tool} | {result} | {memory_mb} | {errors} | {pumice_times_as_fast:.2f} |"
        lines.append(text.format_map(row))
    return "\n".join(lines)
