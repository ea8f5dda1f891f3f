from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pumice.assembly import generate
from pumice.assembly.command_limits import CommandLimits
from pumice.errors import ImageError, SandboxError
from pumice.recipe.model import GenerateCommand
from tests.support import images

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").write_bytes(images.busybox())
    (root / "bin/sh").chmod(0o755)
    (root / "etc").mkdir()
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib").mkdir(parents=True)
    return root


def shell(script: str, *paths: str) -> GenerateCommand:
    return GenerateCommand(command=("/bin/sh", "-c", script), paths=paths, where="recipe.yaml:7:5")


def test_commands_see_what_the_previous_ones_left(root: Path) -> None:
    changes = generate.run_commands(
        root,
        [shell("echo 1 > /etc/a; echo 1 > /etc/b"), shell("read x < /etc/a; echo $x$x > /etc/c")],
        generate.make_environment({}, 7),
    )
    assert changes.kept == ("etc/a", "etc/b", "etc/c")
    assert (root / "etc/c").read_text() == "11\n"
    assert (root / "etc/c").stat().st_uid == os.geteuid()


def test_paths_are_resolved_through_links(root: Path) -> None:
    changes = generate.run_commands(
        root, [shell("echo > /usr/lib/x; echo > /etc/y", "/lib/x")], generate.make_environment({}, 7)
    )
    assert (changes.kept, changes.dropped) == (("usr/lib/x",), ("etc/y",))


def test_rounds_have_other_surroundings(root: Path) -> None:
    script = (
        "read name < /proc/sys/kernel/hostname; echo $name $PYTHONHASHSEED > /etc/seen; echo $$ > /etc/pid"
    )
    seen = []
    for number in range(2):
        generate.run_commands(
            root,
            [shell(script)],
            generate.make_environment({}, 7),
            generate.surroundings_of_round(number),
        )
        seen.append((root / "etc/seen").read_text())
    assert seen == ["pumice 0\n", "round-2 1\n"]


def test_a_sandbox_that_does_not_work_is_explained(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise SandboxError("cannot create a user namespace: Operation not permitted")

    monkeypatch.setattr(generate, "execute", fail)
    with pytest.raises(SandboxError, match="without the sandbox: cannot create a user namespace") as caught:
        generate.run_commands(root, [shell("true")], {})
    assert caught.value.where == "recipe.yaml:7:5"
    assert "user namespaces" in str(caught.value.hint)


def test_the_processors_are_given_back(root: Path) -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ImageError, match="exit code 3"):
        generate.run_commands(root, [shell("exit 3")], {}, generate.surroundings_of_round(1))
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    ("script", "limits", "message"),
    [
        ("while :; do :; done", CommandLimits(seconds=1), "ran longer than 1 s"),
        (
            "while :; do echo 0123456789 >> /etc/x; done",
            CommandLimits(disk=2 << 20),
            "wrote more than 2 MiB",
        ),
        ("while :; do echo 0123456789 >> /tmp/x; done", CommandLimits(disk=2 << 20), "wrote more than 2 MiB"),
        ("while :; do echo 0123456789; done", CommandLimits(disk=2 << 20), "wrote more than 2 MiB"),
        (
            "n=0; while [ $n -lt 900 ]; do n=$((n+1)); > /etc/$n; done; while :; do :; done",
            CommandLimits(disk=3 << 20),
            "wrote more than 3 MiB",
        ),
        (
            "(while :; do :; done) & (while :; do :; done) & while :; do :; done",
            CommandLimits(processes=3),
            "had more than 3 processes and threads",
        ),
    ],
    ids=("time", "file", "temporary file", "output", "many files", "processes"),
)
def test_a_command_that_exceeds_a_limit_is_stopped(
    root: Path, script: str, limits: CommandLimits, message: str
) -> None:
    with pytest.raises(ImageError, match=f"was stopped because it {message}") as caught:
        generate.run_commands(root, [shell(script)], generate.make_environment({}, 7), limits=limits)
    assert "/bin/sh -c" in caught.value.message
    assert caught.value.where == "recipe.yaml:7:5"
    assert caught.value.hint


def test_a_command_has_its_own_timeout(root: Path) -> None:
    command = GenerateCommand(command=("/bin/sh", "-c", "while :; do :; done"), timeout=1)
    with pytest.raises(ImageError, match="ran longer than 1 s"):
        generate.run_commands(root, [command], generate.make_environment({}, 7))


def test_a_command_within_its_limits_is_not_stopped(root: Path) -> None:
    (root / "usr/lib/large").write_bytes(b"x" * (4 << 20))
    limits = CommandLimits(seconds=60, disk=1 << 20, processes=10)
    changes = generate.run_commands(
        root, [shell("echo > /etc/a & wait")], generate.make_environment({}, 7), limits=limits
    )
    assert changes.kept == ("etc/a",)


@pytest.mark.parametrize(
    ("path", "directories", "is_below"),
    [("var/cache/x", ("var/cache",), True), ("var/cachex", ("var/cache",), False), ("a", ("",), True)],
)
def test_a_path_is_below_a_directory(path: str, directories: tuple[str, ...], is_below: bool) -> None:
    assert generate._is_below(path, directories) is is_below
