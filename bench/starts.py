"""Measure how long it takes to run a program that does nothing, and what else a running program costs.

    python -m bench run [--runs N] [--docs]

Each row compares a command of Pumice with what does the same without it, in turn, so that changes in
the speed of the machine affect both. The rows are ratios of medians. Needs root, runc, bubblewrap, gcc and
busybox; rows for podman are left out without it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from pumice.formats import oci
from pumice.runtime.launch.model import BUNDLE
from pumice.runtime.quick import plans
from pumice.store.home import Home
from tests.support import images, many_pods, networks

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "run.json"
PAGE = HERE.parent / "docs" / "explanation" / "fast-starts.md"
PYTHON = (sys.executable, "-I")
PUMICE = (*PYTHON, "-c", "from pumice.cli.main import run; run()")
"""What the script that uv installs does; the one of some versions of pip also imports re."""
PODMAN = (
    *("podman", "run", "--rm", "--runtime", "runc"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
)
TRUE = "int main(void) { return 0; }"
PODS = 100
GIGABYTE = ("if=/dev/zero", "bs=1M", "count=1024")


Times = tuple[float, float]


@dataclass
class Pair:
    """A command of Pumice and the one that it is compared with.

    The times of each are pairs in seconds: how long it took, and the processor time of all its processes.
    """

    name: str
    target: float
    ours: Callable[[], object]
    other: Callable[[], object]
    times: tuple[list[Times], list[Times]] = field(default_factory=lambda: ([], []))

    def measure(self, runs: int) -> None:
        """Run both in turn, after one run that does not count."""
        for number in range(runs + 1):
            for command, times in zip((self.ours, self.other), self.times, strict=True):
                started, processor = time.perf_counter(), _processor_time()
                command()
                if number:
                    times.append((time.perf_counter() - started, _processor_time() - processor))

    def row(self) -> dict[str, object]:
        """Return the ratios of the medians."""
        ratio, processor_ratio = (
            round(
                statistics.median(t[kind] for t in self.times[0])
                / statistics.median(t[kind] for t in self.times[1]),
                2,
            )
            for kind in (0, 1)
        )
        return {"what": self.name, "target": self.target, "ratio": ratio, "processor": processor_ratio}


def _processor_time() -> float:
    """Return the processor time of all children that have ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Workshop:
    """A store with an image, a bundle with the same files, and a directory for all of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PUMICE_HOME": str(folder / "store")}
        self.environment.pop("PUMICE_NETWORK", None)
        content = images.shell()
        content["true"] = images.compiled(folder, TRUE)
        for number in range(100):
            content[f"usr/share/{number}"] = "x"
        with Home(folder / "store") as home:
            images.make(home, [content], name="bench:1", config=oci.RunConfig(entrypoint=("/true",)))
        for stage1 in ("builtin", "runc"):
            self.pumice("run", "--network", "host", "--stage1", stage1, "bench:1")
        self.tree = next((folder / "store" / "trees").iterdir()) / "root"
        self._make_bundle()
        self._number = 0

    def call(self, *command: str) -> None:
        """Run a command; raises CalledProcessError."""
        with Path(os.devnull).open("r+b") as null:  # files would need a process that copies
            subprocess.run(command, check=True, env=self.environment, stdin=null, stdout=null, stderr=null)

    def pumice(self, *arguments: str) -> None:
        """Run ``pumice``."""
        self.call(*PUMICE, *arguments)

    def after_python(self, *command: str) -> None:
        """Start the interpreter, which runs a command and does nothing else."""
        code = "import os, sys; os._exit(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp("
        self.call(*PYTHON, "-c", f"{code}sys.argv[1], sys.argv[1:], os.environ), 0)[1]))", *command)

    def _make_bundle(self) -> None:
        """Write the bundle that Pumice gives runc, with a copy of the files."""
        bundle = self.folder / "bundle"
        shutil.copytree(self.tree, bundle / "rootfs", symlinks=True)
        recorded = [plans.decode_plan(path.read_bytes()) for path in (self.folder / "store/plans").iterdir()]
        (settings,) = (plan.launch.settings for plan in recorded if plan.launch.kind == BUNDLE)
        config = json.loads(settings)
        config["root"]["path"] = "rootfs"
        for mount in config["mounts"]:
            if mount["destination"] == "/etc/hosts":  # Pumice writes one for each container
                mount["source"] = "/etc/hosts"
        (bundle / "config.json").write_text(json.dumps(config))

    def runc(self, *words: str) -> tuple[str, ...]:
        """Return a command line of runc; ``@`` is a name for a new container."""
        self._number += 1
        names = {"@": f"bench-{os.getpid()}-{self._number}"}
        return ("runc", "--root", str(self.folder / "runc"), *(names.get(word, word) for word in words))

    def bwrap(self) -> tuple[str, ...]:
        """Return a command line of bubblewrap."""
        return (
            *("bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
            *("--bind", str(self.folder / "bundle" / "rootfs"), "/", "--proc", "/proc", "--dev", "/dev"),
            *("--", "/true"),
        )


def starts(shop: Workshop) -> Iterator[Pair]:
    """Yield the comparisons of starts."""

    def run(stage1: str, network: str = "host") -> Callable[[], object]:
        options = ("--network", network) if network else ()
        return lambda: shop.pumice("run", *options, "--stage1", stage1, "bench:1")

    bundle = str(shop.folder / "bundle")
    yield Pair(
        *("run --stage1 runc: interpreter and runc run", 1.4, run("runc")),
        lambda: shop.after_python(*shop.runc("run", "--bundle", bundle, "@")),
    )
    yield Pair(
        *("run --stage1 bwrap: interpreter and bwrap", 2.0, run("bwrap")),
        lambda: shop.after_python(*shop.bwrap()),
    )
    yield Pair("run: interpreter and bwrap", 2.3, run("builtin"), lambda: shop.after_python(*shop.bwrap()))
    if shutil.which("podman") is None:
        return
    archive = str(shop.folder / "bench.tar")
    shop.pumice("save", "--progress", "none", "bench:1", "-o", archive)
    shop.call("podman", "load", "--quiet", "--input", archive)
    for network, target in (("host", 0.35), ("none", 0.35)):
        podman = (*PODMAN, "--network", network, "localhost/bench:1")
        yield Pair(
            *(f"run --network {network} --stage1 runc: podman run", target, run("runc", network)),
            partial(shop.call, *podman),
        )
    yield Pair(
        *("run --network private --stage1 runc: podman run", 0.75, run("runc", "private")),
        lambda: shop.call(*PODMAN, "localhost/bench:1"),
    )


def programs(shop: Workshop) -> Iterator[Pair]:
    """Yield the comparisons of a second program in a running one, and of its output."""
    bundle = shop.folder / "bundle"
    config = json.loads((bundle / "config.json").read_bytes())
    config["process"]["args"] = ["/bin/sleep", "100000"]
    (bundle / "config.json").write_text(json.dumps(config))
    (container,) = shop.runc("@")[3:]
    shop.call(*shop.runc("run", "--detach", "--bundle", str(bundle), container))
    shop.pumice(
        *("run", "-d", "--name", "bench-pod", "--network", "host", "--entrypoint", "/bin/sleep", "bench:1"),
        "100000",
    )
    try:
        yield Pair(
            *("exec: interpreter and runc exec", 1.0, lambda: shop.pumice("exec", "bench-pod", "/true")),
            lambda: shop.after_python(*shop.runc("exec", container, "/true")),
        )
    finally:
        shop.pumice("kill", "bench-pod")
        shop.pumice("rm", "--force", "bench-pod")
        shop.call(*shop.runc("delete", "--force", container))
    pipe = f"dd {' '.join(GIGABYTE)} 2>/dev/null | cat >/dev/null"
    box = " ".join(
        (*PUMICE[:-1], f"'{PUMICE[-1]}'", "run --network host --entrypoint /bin/busybox bench:1 dd")
    )
    yield Pair(
        *("1 GB through a pipe: a bare pipe", 1 / 0.6),
        lambda: shop.call("sh", "-c", f"{box} {' '.join(GIGABYTE)} 2>/dev/null | cat >/dev/null"),
        lambda: shop.call("sh", "-c", pipe),
    )


def measure_figures(shop: Workshop, runs: int) -> Iterator[dict[str, object]]:
    """Yield figures that are compared with nothing: the memory of ``run``, and its delay at the end."""
    results = [measure_end(shop) for _ in range(runs)]
    yield {
        "what": "memory of `pumice run` while the program runs, MB",
        "target": 12,
        "ratio": round(max(size for size, _ in results) / 1024, 1),
    }
    yield {
        "what": "from the end of the program to that of `pumice run`, lowest, ms",
        "target": 20,
        "ratio": round(min(delay for _, delay in results) * 1000, 1),
    }


def measure_log(shop: Workshop, runs: int) -> Iterator[dict[str, object]]:
    """Yield how much longer 1 GB takes into the log of a pod than through a pipe, without their starts."""
    pod = ("run", "--rm", "--name", "bench-log", "--network", "host", "--entrypoint", "/bin/busybox")

    def write(count: str) -> tuple[Callable[[], object], Callable[[], object]]:
        words = ("dd", "if=/dev/zero", "bs=1M", count)
        return (
            lambda: shop.pumice(*pod, "bench:1", *words),
            lambda: shop.call("sh", "-c", f"{' '.join(words)} 2>/dev/null | cat >/dev/null"),
        )

    full, empty = (Pair("", 0, *write(count)) for count in ("count=1024", "count=0"))
    full.measure(runs)
    empty.measure(runs)
    ratio, processor_ratio = (
        round(
            _difference(full.times[0], empty.times[0], kind)
            / _difference(full.times[1], empty.times[1], kind),
            2,
        )
        for kind in (0, 1)
    )
    what = "1 GB into the log of a pod: a bare pipe"
    yield {"what": what, "target": 1 / 0.3, "ratio": ratio, "processor": processor_ratio}


def _difference(times: list[Times], shorter_times: list[Times], kind: int) -> float:
    return statistics.median(t[kind] for t in times) - statistics.median(t[kind] for t in shorter_times)


def measure_pods(shop: Workshop) -> Iterator[dict[str, object]]:
    """Yield how long each step takes for many pods with networks, and how much they leave behind."""
    if networks.plugins_are_missing():
        return
    with networks.machine() as machine:

        def pumice(*arguments: str) -> str:
            command = (*machine.prefix, *PUMICE, *arguments)
            # The keeper of a network inherits standard error.
            return subprocess.run(
                command, env=shop.environment, check=True, stdout=subprocess.PIPE, text=True
            ).stdout

        result = many_pods.run(pumice, machine, shop.folder / "store", "bench:1", PODS)
    assert result.listed == PODS
    for step in ("start", "list", "stop", "collect"):
        milliseconds = getattr(result, step) * 1000 / PODS
        yield {"what": f"{PODS} pods with networks: {step}, ms for each", "ratio": round(milliseconds, 1)}
    yield {"what": f"what {PODS} pods leave behind", "target": 0, "ratio": len(result.left)}


def _last_descendant(process: int) -> int:
    """Return the program in a container, which is the last of the processes that started each other."""
    while children := Path(f"/proc/{process}/task/{process}/children").read_text().split():
        process = int(children[-1])
    return process


def measure_end(shop: Workshop) -> tuple[int, float]:
    """Return the resident memory of a waiting ``run`` in kB, and for how long it outlives the program."""
    reader, writer = os.pipe()
    command = (*PUMICE, "run", "--network", "host", "--entrypoint", "/bin/cat", "bench:1")
    shop.call(*command)  # so that there is a plan
    with subprocess.Popen(command, env=shop.environment, stdin=reader, stdout=subprocess.PIPE) as process:
        os.write(writer, b"x")
        assert process.stdout is not None
        process.stdout.read(1)
        status = Path(f"/proc/{process.pid}/status").read_text()
        (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
        os.kill(_last_descendant(process.pid), signal.SIGKILL)
        ended = time.perf_counter()
        process.wait()
        delay = time.perf_counter() - ended
    os.close(reader)
    os.close(writer)
    return int(resident), delay


def main(words: Sequence[str]) -> None:
    """Measure, print and store the results."""
    parser = argparse.ArgumentParser(prog="python -m bench run", description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs of each command (default: 15)")
    parser.add_argument("--docs", action="store_true", help="update the table in the documentation")
    arguments = parser.parse_args(words)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder))
        for pair in chain(starts(shop), programs(shop)):
            pair.measure(arguments.runs)
            rows.append(pair.row())
            print(json.dumps(rows[-1]), flush=True)
        rows += measure_figures(shop, arguments.runs)
        rows += measure_log(shop, arguments.runs)
        rows += measure_pods(shop)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    if arguments.docs:
        text = PAGE.read_text()
        block = f"<!-- starts -->\n{table(rows)}\n<!-- /starts -->"
        PAGE.write_text(re.sub(r"<!-- starts -->.*<!-- /starts -->", lambda _: block, text, flags=re.DOTALL))


def table(rows: Sequence[dict[str, object]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what is compared | ratio or figure | of processor time | target |", "|---|--:|--:|--:|"]
    for row in rows:
        target = f"≤ {row['target']:.2g}" if "target" in row else ""
        lines.append(f"| {row['what']} | {row['ratio']} | {row.get('processor', '')} | {target} |")
    return "\n".join(lines)
