"""Paths that another container or an image exchanges while a stage 1 uses them, or that lead elsewhere."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, peers, people, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

EXCHANGE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
  puts("ready");
  fflush(stdout);
  for (;; usleep(20)) renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
}
"""
SET_ID = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) {
  int became = setuid(0) == 0;
  printf("%d %s\n", geteuid(), became ? "became root" : "refused");
}
"""
NUMBERS = (3, 5, 7, 8)
"""Descriptors that a runtime may have open."""
STARTS = 4
"""How often a container starts beside one that exchanges paths."""


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with people.person(request.param) as someone:
        folder = tmp_path_factory.mktemp("programs")
        content = images.shell()
        for applet in ("head", "readlink", "stat", "wc"):
            content[f"bin/{applet}"] = Entry(f"bin/{applet}", "symlink", 0o777, link="busybox")
        program = images.compiled(folder, SET_ID)
        links = {name: Entry(name, "symlink", 0o777, link=f"/{name[3:]}") for name in ("to-proc", "to-sys")}
        kernel = {"to-proc-sys": Entry("to-proc-sys", "symlink", 0o777, link="proc/sys/kernel")}
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"))
            images.make(home, [content | links | kernel], name="box:1", config=config)
            set_id = [
                (Entry("srv", "dir", 0o755), b""),
                (Entry("srv/set-id", "file", 0o6755, size=len(program)), program),
            ]
            images.make(home, [content, set_id], name="set-id:1", config=config)
            for number in NUMBERS:
                config = oci.RunConfig(entrypoint=("sh", "-c"), working_dir=f"/proc/self/fd/{number}")
                images.make(home, [content], name=f"fd{number}:1", config=config)
        someone.give(someone.home)
        shutil.copy(folder / "program", someone.home / "set-id")
        yield someone
        pods.remove_all(someone)


KERNEL_TARGETS = (
    "/proc",
    "/proc/self/attr",
    "/proc/sys/kernel",
    "/sys",
    "/to-proc",
    "/to-sys",
    "/to-proc-sys",
)


@pytest.mark.parametrize("target", KERNEL_TARGETS)
def test_volumes_cannot_replace_files_of_the_kernel(person: Person, stage1: str, target: str) -> None:
    """CVE-2025-52881: what a runtime writes to /proc goes to files that an attacker chose."""
    volume = person.home / "fake"
    shutil.rmtree(volume, ignore_errors=True)
    (volume / "self").mkdir(parents=True)
    (volume / "self/setgroups").write_text("deny")
    person.give(volume)
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", stage1, "--volume", f"{volume}:{target}", "box:1", "id")
    )
    assert process.stdout == ""
    assert process.returncode in (2, 10, 11), process.stderr
    assert process.stderr.count("error: ") == 1
    assert "files of the kernel" in process.stderr


@pytest.mark.parametrize("link", ["../proc", "../proc/self/attr", "/proc/sys", "../sys"])
def test_links_in_a_volume_do_not_lead_mounts_to_files_of_the_kernel(
    person: Person, stage1: str, link: str
) -> None:
    volume = person.home / "linked"
    shutil.rmtree(volume, ignore_errors=True)
    (volume / "own").mkdir(parents=True)
    (volume / "evil").symlink_to(link)
    person.give(volume)
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", stage1, "--volume", f"{volume}:/data"),
        *("--volume", f"{volume}/own:/data/evil", "box:1", "id"),
    )
    assert process.stdout == ""
    assert process.returncode == 11, process.stderr
    assert process.stderr.count("error: ") == 1


@contextmanager
def exchanging(tmp_path: Path, first: Path, second: Path) -> Iterator[None]:
    """Exchange two paths as fast as possible."""
    images.compiled(tmp_path, EXCHANGE)
    with subprocess.Popen(
        [str(tmp_path / "program"), str(first), str(second)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@pytest.mark.concurrency
@pytest.mark.parametrize("link", ["/oldroot/{}", "/proc/self/root/{}", "../proc"])
def test_links_that_another_container_exchanges_lead_no_mount_elsewhere(
    person: Person, stage1: str, outside: Path, tmp_path: Path, link: str
) -> None:
    """CVE-2021-30465: a directory of a shared volume becomes a link after a runtime has looked at it."""
    shared, private = person.home / "shared", person.home / "private"
    for path in (shared, private):
        shutil.rmtree(path, ignore_errors=True)
    (shared / "place").mkdir(parents=True)
    (shared / "link").symlink_to(link.format(outside))
    private.mkdir()
    (private / "secret").write_text("secret\n")
    person.give(shared)
    person.give(private)
    script = (
        "head -c 4 /proc/self/status; ls /data/place /data/link 2>/dev/null | grep -c pumice-test;"
        " (: > /data/place/made/secret) 2>/dev/null; (: > /data/link/made/secret) 2>/dev/null;:"
    )
    with exchanging(tmp_path, shared / "place", shared / "link"):
        for _ in range(STARTS):
            process = person.pumice(
                *("run", "--progress", "none", "--stage1", stage1, "--volume", f"{shared}:/data"),
                *("--volume", f"{private}:/data/place/made:ro", "box:1", script),
            )
            assert process.stdout in ("Name0\n", ""), process.stderr
            assert list(outside.iterdir()) == []
            assert (private / "secret").read_text() == "secret\n"
            assert process.returncode in (0, 11), process.stderr


@pytest.mark.parametrize("engine", ["bwrap", "runc", "crun"])
def test_engines_get_no_volume_inside_another(person: Person, engine: str) -> None:
    """An engine mounts what is below /dev itself, and looks up each path more than once."""
    peers.need(engine)
    folder = person.home / "nested"
    folder.mkdir(exist_ok=True)
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", engine, "--volume", f"{folder}:/dev/data"),
        *("--volume", f"{folder}:/dev/data/place", "box:1", "id"),
    )
    assert (process.returncode, process.stdout) == (11, "")
    assert f"{engine} cannot mount '/dev/data/place' inside another volume" in process.stderr


@pytest.mark.parametrize("number", NUMBERS)
def test_the_working_directory_of_an_image_is_no_descriptor(person: Person, stage1: str, number: int) -> None:
    """CVE-2024-21626: process.cwd is a directory of the host that a runtime has open."""
    script = f"pwd; ls -a . .. ../.. ../../..; cat ../../../../..{person.home}/set-id | wc -c"
    process = person.pumice("run", "--progress", "none", "--stage1", stage1, f"fd{number}:1", script)
    assert "pumice-test" not in process.stdout
    assert "store" not in process.stdout.split()
    assert process.returncode in (0, 1, 11), process.stderr
    if process.returncode != 11:
        assert process.stdout.endswith("\n0\n")


@pytest.mark.parametrize("user", ["0", "33"])
def test_set_id_bits_of_an_image_have_no_effect(person: Person, stage1: str, user: str) -> None:
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", stage1, "--user", user),
        *("--entrypoint", "/srv/set-id", "set-id:1"),
    )
    if stage1 == "runc" and person.name != "root" and process.returncode == 11:
        pytest.skip("runc has one id for ordinary users")
    expected = "0 became root\n" if user == "0" else "33 refused\n"
    assert process.stdout == expected, process.stderr


def test_links_in_dev_do_not_become_the_terminal(person: Person, stage1: str) -> None:
    """CVE-2025-52565: the image's /dev/console or /dev/pts is a link where the terminal is attached."""
    content = images.shell()
    for name in ("console", "pts", "ptmx", "tty", "fd"):
        content[f"dev/{name}"] = Entry(f"dev/{name}", "symlink", 0o777, link="/proc/sysrq-trigger")
    with person.store() as home:
        images.make(home, [content], name="terminal:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
    script = (
        "echo x > /proc/sysrq-trigger && echo triggered; [ -L /dev/console ] && echo link;"
        " [ -c /dev/console ] || echo none; [ -t 0 ] && echo terminal"
    )
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        person.command("run", "--progress", "none", "--stage1", stage1, "-it", "terminal:1", script),
        env=person.environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(terminal)
    output = b""
    while data := _read(controller):
        output += data
    process.wait()
    os.close(controller)
    assert b"triggered" not in output
    assert b"link" not in output
    assert b"terminal" in output or process.returncode == 11


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_commands_and_health_checks_in_a_malicious_container_are_confined(
    person: Person, stage1: str
) -> None:
    """CVE-2019-10144 and its like: what enters a container later lacks its restrictions."""
    restrictions = "grep -E '^(Cap[PEB]|NoNew|Seccomp:|Groups)' /proc/self/status; cat /proc/self/uid_map"
    check = f"{{ {restrictions}; }} > /tmp/check; ls -l /proc/self/fd /proc/self/cwd > /tmp/open"
    pod = pods.start(
        person,
        *("--stage1", stage1, "--health-cmd", check, "--health-interval", "100ms", "box:1"),
        f"{restrictions}; echo ready; exec sleep 600",
    )
    log = pods.wait_for_log(person, "ready\n", pod)
    own = log.partition("ready\n")[0]
    checked = ""
    for _ in range(50):
        checked = person.pumice("exec", "--workdir", "/", pod, "cat", "/tmp/check", "/tmp/open").stdout
        if own in checked and "/proc/self/cwd" in checked:  # and not just being written again
            break
    assert own in checked
    assert str(person.home) not in checked
    entered = person.pumice("exec", "--workdir", "/", pod, "sh", "-c", restrictions)
    assert entered.stdout == own
    for number in NUMBERS:
        process = person.pumice(
            "exec", "--workdir", f"/proc/self/fd/{number}", pod, "sh", "-c", "ls -a ../.."
        )
        assert str(person.home.name) not in process.stdout
        assert "store" not in process.stdout.split()
    pods.run_ok(person, "rm", "--force", pod)
