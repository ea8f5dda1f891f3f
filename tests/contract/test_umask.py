"""The file modes of a container do not depend on the umask of the user, with each stage 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import peers, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

STAGES = ("builtin", "bwrap", "runc", "fly")
SCRIPT = (
    "cat /a/b/page; ls -ld / /a /a/b /new /etc /etc/hosts /dev/shm 2>/dev/null; umask;"
    " touch /tmp/x; ls -l /tmp/x"
)


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        folder = someone.home / "volume"
        folder.mkdir()
        (folder / "page").write_text("hello\n")
        someone.give(folder)
        yield someone


def show(person: Person, umask: int, *arguments: str) -> list[str]:
    """Return the first line of a command, and the modes in the others."""
    process = person.pumice(*arguments, umask=umask)
    assert process.returncode == 0, process.stderr
    first, *others = process.stdout.splitlines()
    return [first, *(line.split()[0] for line in others)]


@pytest.mark.parametrize("stage1", STAGES)
def test_modes_do_not_depend_on_the_umask(person: Person, stage1: str) -> None:
    if stage1 in ("bwrap", "runc"):
        peers.need(stage1)
    volumes = ("--volume", f"{person.home}/volume:/a/b", "--tmpfs", "/new/deep")
    command = ("run", "--progress", "none", "--stage1", stage1, "--user", "1000", *volumes, "box:1", SCRIPT)
    shown = show(person, 0o077, *command)
    assert shown[0] == "hello"
    assert "0022" in shown
    assert shown == show(person, 0o022, *command)


@pytest.mark.parametrize("stage1", STAGES)
def test_a_further_program_has_the_usual_umask(person: Person, stage1: str) -> None:
    if stage1 in ("bwrap", "runc"):
        peers.need(stage1)
    pod = pods.start(person, "--stage1", stage1, "box:1", pods.READY)
    assert show(person, 0o077, "exec", pod, "sh", "-c", "umask") == ["0022"]
    pods.run_ok(person, "rm", "--force", pod)
