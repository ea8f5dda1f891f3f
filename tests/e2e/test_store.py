"""The command ``pumice store``, and builds in a damaged store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peers import absent, need
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def spoil(path: Path) -> None:
    """Change one byte in the middle; keep size and mtime."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def blobs(world: World) -> list[Path]:
    return sorted((world.root / "store" / "blobs" / "sha256").iterdir())


def verify(world: World, *arguments: str) -> tuple[int, list[str], str]:
    pumice_run = world.run("store", "verify", "--progress", "none", *arguments)
    return pumice_run.code, pumice_run.stdout.splitlines(), pumice_run.stderr


def test_store_path_does_not_create_the_store(world: World) -> None:
    pumice_run = world.run("store", "path", store="nowhere")
    assert (pumice_run.code, pumice_run.stdout) == (0, str(world.root / "nowhere"))
    assert not (world.root / "nowhere").exists()


def test_intact_store_verifies(world: World) -> None:
    world.build()
    code, lines, _ = verify(world)
    number = len(blobs(world)) + len(list((world.root / "store" / "composed").iterdir()))
    assert (code, lines) == (0, [f"{number} blobs verified, 0 damaged"])


def test_damage_is_reported_removed_and_restored_by_a_build(world: World) -> None:
    digest = world.build()
    manifest = world.root / "store" / "blobs" / digest.replace(":", "/")
    spoil(manifest)
    code, lines, error = verify(world)
    assert code == 9
    assert lines[:2] == [
        f"damaged blob {digest}",
        f"incomplete image example.com/hello:1.0: {digest} is damaged or missing",
    ]
    assert error == (
        "error: the store is damaged\n  hint: run 'pumice store verify --repair', then build the images again"
    )
    assert manifest.exists()
    code, repaired, error = verify(world, "--repair")
    assert (code, repaired) == (9, lines)
    assert error == (
        "error: some images are incomplete\n  hint: build them again, or remove them with 'pumice rm'"
    )
    assert not manifest.exists()
    assert world.build() == digest
    assert verify(world)[0] == 0


def test_a_build_after_damage_to_any_blob_gives_the_same_image(world: World) -> None:
    digest = world.build("-o", "oci:first")
    world.build()
    for path in blobs(world):
        spoil(path)
        assert world.build("-o", f"oci:{path.name[:9]}") == digest, path
        assert world.build() == digest
        # A package with a cached segment is not read again, so its damage is not detected.
        assert verify(world, "--repair")[0] == 0, path


def test_a_build_after_damage_to_all_blobs_gives_the_same_image(world: World) -> None:
    digest = world.build()
    for path in blobs(world):
        spoil(path)
    pumice_run = world.run("build", "recipe.yaml")
    assert pumice_run.stdout == digest
    assert "was damaged and will be made or fetched again" in pumice_run.stderr
    assert verify(world)[0] == 0


def test_a_build_after_damage_to_all_records_gives_the_same_image(world: World) -> None:
    digest = world.build()
    for path in [*(world.root / "store" / "records").rglob("*"), world.root / "store" / "trust"]:
        if path.is_file():
            path.write_bytes(b"\0" * path.stat().st_size)
    assert world.build() == digest
    assert verify(world)[0] == 0


@pytest.mark.concurrency
def test_a_killed_build_leaves_a_sound_store(world: World) -> None:
    """The build is killed after its n-th line of output, for each n; then the next build succeeds."""
    lines = 0
    while True:
        lines += 1
        process = subprocess.Popen(
            [sys.executable, "-m", "pumice", "build", "recipe.yaml", "--progress", "json"],
            cwd=world.project,
            env={**os.environ, "PUMICE_HOME": str(world.root / "store")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        progress_lines = [process.stderr.readline() for _ in range(lines)]
        process.kill()
        process.communicate()
        assert verify(world)[0] == 0
        if not progress_lines[-1]:
            break
    assert lines > 1
    digest = world.build()
    assert world.build(store="fresh") == digest
    assert world.run("gc", "--all").code == 0
    assert not any((world.root / "store" / "tmp").iterdir())
    assert verify(world)[0] == 0


@pytest.mark.concurrency
def test_concurrent_builds_share_a_store(world: World) -> None:
    command = [sys.executable, "-m", "pumice"]
    environment = {**os.environ, "PUMICE_HOME": str(world.root / "store")}
    world.run("lock", "recipe.yaml", store="other")
    running = [
        subprocess.Popen(
            [*command, *what],
            cwd=world.project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for what in (
            ["build", "recipe.yaml"],
            ["build", "recipe.yaml"],
            ["gc"],
            ["build", "recipe.yaml"],
            ["gc", "--all"],
        )
    ]
    finished = [(process, *process.communicate()) for process in running]
    assert [process.returncode for process, _, _ in finished] == [0] * 5, [error for _, _, error in finished]
    assert len({out for process, out, _ in finished if b"sha256:" in out}) == 1
    assert verify(world)[0] == 0


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ("mount -t tmpfs -o size=80k none", "no space left on the device"),
        ("mount -t tmpfs -o size=1m,ro none", "the file system is read-only"),
    ],
)
def test_an_error_of_the_disk_is_reported_in_one_sentence(world: World, mount: str, sentence: str) -> None:
    unshare = need("unshare")
    disk = world.root / "disk"
    disk.mkdir()
    script = f"""
    {mount} "$1"
    code=0
    PUMICE_HOME="$1/store" "$2" -m pumice build recipe.yaml --progress none || code=$?
    if [ -d "$1/store" ]; then
        ls -A "$1/store/tmp"
        PUMICE_HOME="$1/store" "$2" -m pumice store verify --progress none >&2 || echo unsound
    fi
    echo "$code"
    """
    command = [unshare, "-rm", "sh", "-ec"]
    if subprocess.run(
        [*command, f'{mount} "$1"', "sh", str(disk)], capture_output=True, check=False
    ).returncode:
        absent("this machine allows no user namespaces with mounts")
    process = subprocess.run(
        [*command, script, "sh", str(disk), sys.executable],
        cwd=world.project,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert process.stdout == "9\n"
    first, hint, *_ = process.stderr.splitlines()
    assert first.startswith(f"error: {disk}/store")
    assert first.endswith(f": {sentence}")
    assert hint.startswith("  hint: ")
    assert {path.name for path in world.project.iterdir()} <= {"key.asc", "recipe.yaml", "recipe.lock"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: ACTION is missing\n  hint: use one of verify, path"),
        (("verfy",), "error: unknown action 'verfy'\n  hint: did you mean 'verify'?"),
        (
            ("path", "--repair"),
            "error: 'pumice store path' has no option '--repair'\n  hint: see 'pumice store path --help'",
        ),
    ],
)
def test_store_reports_invalid_arguments(world: World, arguments: tuple[str, ...], message: str) -> None:
    pumice_run = world.run("store", *arguments)
    assert (pumice_run.code, pumice_run.stderr) == (2, message)


def test_progress_is_printed_as_json_events(world: World) -> None:
    world.build()
    pumice_run = world.run("store", "verify", "--progress", "json")
    events = [json.loads(line) for line in pumice_run.stderr.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("begin", "end")
