"""Builds that are stopped: by a person, by a kill, by the disk, by the mirror.

Whatever happens, destinations are complete or absent, the store is sound, and the next build gives
what an undisturbed one gives.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support import waiting
from tests.support.deb import Deb, Item
from tests.support.mirror import Fault, Mirror
from tests.support.peers import absent, need
from tests.support.rock import Rock
from tests.support.world import PACKAGES, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 120
# Background jobs of a shell, and therefore whole test runs, may start with SIGINT ignored.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pumice.cli.main import run
run()
"""
NOISE = Deb(
    "noise",
    files=[Item("usr/lib/noise", random.Random(0).randbytes(8 << 20))],
    fields={"Depends": "hello"},
    compression="none",
)
"""A package that no compression makes smaller."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    new_world = World(tmp_path, [*PACKAGES, NOISE])
    new_world.write(packages="[noise]")
    return new_world


@pytest.fixture
def mirror(world: World) -> Iterator[Mirror]:
    with Mirror(world.mirror) as server:
        over_http(world, server)
        yield server


def over_http(world: World, mirror: Mirror) -> None:
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(f"file://{world.mirror}", mirror.url))


class Build:
    """A running build."""

    def __init__(self, world: World, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "build", "recipe.yaml", *arguments],
            cwd=world.project,
            env={**os.environ, "PUMICE_HOME": str(world.root / "store")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self, how: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and standard error."""
        self._process.send_signal(how)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and standard error."""
        out, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        assert out == "" or self._process.returncode == 0
        return self._process.returncode, err

    def reaches(self, point: Callable[[], bool]) -> bool:
        """Wait until ``point`` is true; False if the build ended before."""
        reached: list[bool] = []

        def has_news() -> bool:
            reached[:] = [point()]
            return reached[0] or self._process.poll() is not None

        waiting.until(has_news)
        return reached[0]


def check_interrupted(world: World, code: int, stderr: str, how: signal.Signals) -> None:
    if how == signal.SIGINT:
        assert code == 130
        assert stderr.splitlines()[-1] == "interrupted"
        assert "Traceback" not in stderr
        assert "rror" not in stderr
    else:
        assert code == -signal.SIGKILL
    assert world.run("store", "verify").code == 0


def leftover_files(world: World) -> set[str]:
    """Return the names in the project directory, except those that the user created."""
    project_files = {"recipe.yaml", "key.asc", "recipe.lock"}
    return {path.name for path in world.project.iterdir()} - project_files


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
@pytest.mark.parametrize(
    ("where", "sent_bytes"),
    [("InRelease", None), ("by-hash", 100), ("hello_", None), ("noise_", 5_000_000)],
    ids=["release", "index", "package", "half a package"],
)
def test_interrupted_while_waiting_for_a_mirror(
    where: str, sent_bytes: int | None, how: signal.Signals, world: World, mirror: Mirror
) -> None:
    fault = Fault(hold=True, truncate=sent_bytes)
    mirror.add_fault(where, fault)
    build = Build(world, "-o", "oci:image")
    assert build.reaches(fault.is_held.is_set)
    # The process must end long before the mirror's timeout, which is minutes.
    code, stderr = build.stop(how)
    check_interrupted(world, code, stderr, how)
    assert leftover_files(world) == set()
    mirror.heal()
    assert world.build("-o", "oci:image") == world.build(store="undisturbed")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
@pytest.mark.parametrize("stage", ["cutting", "delivering"])
def test_interrupted_while_working(stage: str, how: signal.Signals, tmp_path: Path) -> None:
    world = World(tmp_path, [*PACKAGES, Rock("rock", weight=150_000_000)])
    world.write(packages="[rock, hello]")
    expected = world.build(store="undisturbed")
    scratch = tmp_path / "store" / "tmp"

    def cuts() -> bool:
        return scratch.is_dir() and any(size(path) > 1_000_000 for path in scratch.iterdir())

    def size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def delivers() -> bool:
        return bool(leftover_files(world))

    if stage == "delivering":
        world.build()
    for _ in range(5):  # on a busy machine the build may finish before the signal
        build = Build(world, "-o", "tar:root.tar")
        if build.reaches(cuts if stage == "cutting" else delivers):
            code, stderr = build.stop(how)
            if code != 0:
                break
        (world.project / "root.tar").unlink()
    else:
        pytest.skip("the build was always over before it could be stopped")
    check_interrupted(world, code, stderr, how)
    if how == signal.SIGINT:
        assert leftover_files(world) == set()
    assert not (world.project / "root.tar").exists()
    assert world.build("-o", "tar:root.tar") == expected
    assert world.run("store", "verify").code == 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(truncate=1_000_000, times=1), ""),
        (Fault(drop=True, times=1), ""),
        (Fault(status=503, times=1), ""),
        (Fault(drop=True), "the connection was closed unexpectedly"),
        (Fault(status=404), "pumice lock --upgrade noise"),
        (Fault(short=1_000_000), "the file has 1000000 bytes instead of"),
        (Fault(corrupt=True), "the digest differs"),
        (Fault(body=b"<html>log in first</html>"), "instead of"),
    ],
    ids=["cut once", "dropped once", "busy once", "dropped", "gone", "truncated", "wrong", "a page"],
)
def test_a_package_that_arrives_damaged_or_incomplete(
    fault: Fault, sentence: str, world: World, mirror: Mirror
) -> None:
    mirror.add_fault("noise_", fault)
    pumice_run = world.run("build", "recipe.yaml", "-o", "oci:image")
    if not sentence:
        assert pumice_run.code == 0, pumice_run.stderr
    else:
        assert pumice_run.code in {6, 7}, pumice_run.stderr
        assert pumice_run.stdout == ""
        errors = [line for line in pumice_run.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, pumice_run.stderr
        assert "noise" in errors[0]
        assert sentence in pumice_run.stderr
        assert leftover_files(world) == set()
    mirror.heal()
    assert world.run("store", "verify").code == 0
    assert world.build() == world.build(store="undisturbed")


def test_the_mirror_goes_away_in_the_middle(world: World) -> None:
    fault = Fault(hold=True, truncate=3_000_000)
    with Mirror(world.mirror) as stopping_mirror:
        over_http(world, stopping_mirror)
        stopping_mirror.add_fault("noise_", fault)
        build = Build(world, "-o", "oci:image")
        assert build.reaches(fault.is_held.is_set)
    code, stderr = build.end()
    assert code == 6
    assert stderr.count("error: ") == 1
    assert "noise" in stderr
    assert leftover_files(world) == set()
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(stopping_mirror.url, f"file://{world.mirror}"))
    assert world.build() == world.build(store="undisturbed")


def on_a_small_disk(script: str, world: World) -> list[str]:
    """Run a shell script in the project, with 6 MB of disk at ``$DISK`` and ``pumice`` as a function.

    Its lines are what it prints; each command's exit code is for the script to look at.
    """
    unshare = need("unshare")
    disk = world.root / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=6m none '{disk}'"
    if subprocess.run([unshare, "-rm", "sh", "-ec", mount], capture_output=True, check=False).returncode != 0:
        absent("this machine allows no user namespaces with mounts")
    process = subprocess.run(
        [
            unshare,
            "-rm",
            "sh",
            "-uc",
            f'{mount}\npumice() {{ "{sys.executable}" -m pumice "$@"; }}\n{script}',
        ],
        cwd=world.project,
        env={**os.environ, "DISK": str(disk)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    return process.stdout.splitlines()


def test_the_store_is_on_a_disk_that_fills_up(world: World) -> None:
    stderr = on_a_small_disk(
        """
        export PUMICE_HOME="$DISK/store"
        pumice build --progress none recipe.yaml -o oci:image; echo "code $?"
        ls
        pumice store verify; echo "code $?"
        mount --options-mode ignore -o remount,size=200m "$DISK"
        pumice build --progress none recipe.yaml
        """,
        world,
    )
    errors = [line for line in stderr if line.startswith("error: ")]
    assert len(errors) == 1, stderr
    assert "no space left on the device" in errors[0]
    assert [line for line in stderr if line.startswith("code ")] == ["code 9", "code 0"]
    assert "image" not in stderr
    assert stderr[-1] == world.build()


def test_the_destination_is_on_a_disk_that_fills_up(world: World) -> None:
    digest = world.build()
    for kind in ("oci", "oci-archive", "docker-archive", "tar", "dir"):
        stderr = on_a_small_disk(
            f"""
            export PUMICE_HOME="{world.root}/store"
            pumice build recipe.yaml -o {kind}:"$DISK/image"; echo "code $?"
            find "$DISK" -mindepth 1
            """,
            world,
        )
        errors = [line for line in stderr if line.startswith("error: ")]
        assert len(errors) == 1, stderr
        assert "no space left" in errors[0]
        assert stderr[-1] in {"code 9", "code 10"}, "something was left behind"
        (world.root / "disk").rmdir()
    assert world.build() == digest


def test_a_store_that_cannot_be_written_to(world: World) -> None:
    digest = world.build()
    stderr = on_a_small_disk(
        f"""
        mount --bind "{world.root}/store" "$DISK"
        mount -o remount,ro,bind "$DISK"
        export PUMICE_HOME="$DISK"
        pumice build --progress none recipe.yaml -o oci:image; echo "code $?"
        pumice build --progress none recipe.yaml; echo "code $?"
        echo "environment: {{A: b}}" >> recipe.yaml
        pumice build --progress none recipe.yaml -o oci:other; echo "code $?"
        """,
        world,
    )
    codes = [line for line in stderr if line.startswith("code ")]
    assert stderr[0] == digest, "an image that is there needs no writing"
    assert codes == ["code 0", "code 0", "code 9"], stderr
    errors = [line for line in stderr if line.startswith("error: ")]
    assert len(errors) == 1, stderr
    assert "read-only" in errors[0], stderr
    assert leftover_files(world) == {"image"}


def test_threads_of_a_dead_build_do_not_outlive_it(world: World, mirror: Mirror) -> None:
    """After an interruption, no thread waits for the mirror, so a second Ctrl-C is not necessary."""
    fault = Fault(hold=True)
    mirror.add_fault("pool/", fault)
    build = Build(world)
    assert build.reaches(fault.is_held.is_set)
    watch = threading.Timer(PATIENCE_SECONDS / 4, mirror.heal)
    watch.start()
    code, _ = build.stop(signal.SIGINT)
    assert watch.is_alive(), "it ended only when the mirror answered"
    watch.cancel()
    assert code == 130
