"""Attacks that other container runtimes had to mend: each stage 1 must withstand the kind."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
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

# In the place of the dynamic loader, this gets control in a process that executes a program of the host. It
# has no C library, which would look for its data in that program. ETXTBSY only means that another process
# executes the program at the moment.
LOADER = r"""
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
static long call(long number, long a, long b, long c) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
#else
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#endif
}
void _start(void) {
  char path[] = "/proc/self/fd/?";
  path[14] = '0' + call(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_RDONLY);
  long error = -call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY);
  if (error == EACCES || error == EROFS) call(SYS_write, 1, (long)"refused\n", 8);
  else call(SYS_write, 1, (long)"writable\n", 9);
  call(SYS_exit_group, 0, 0, 0);
}
"""
WRITES = "for p in /proc/[0-9]*; do (: >> $p/exe) 2>/dev/null && echo writable; done; echo looked"


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with people.person(request.param) as someone:
        content = images.shell()
        options = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-static-pie")
        loader = images.compiled(tmp_path_factory.mktemp("loader"), LOADER, *options)
        for name in ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"):
            content[name] = loader
        content["bin/runtime"] = b"#!/proc/self/exe\n"
        content["bin/link"] = Entry("bin/link", "symlink", 0o777, link="/proc/self/exe")
        content["bin/head"] = Entry("bin/head", "symlink", 0o777, link="busybox")
        config = oci.RunConfig(entrypoint=("sh", "-c"))
        with Home(someone.home / "store") as home:
            images.make(home, [content], name="evil:1", config=config)
            masks = {
                "dev/null": Entry("dev/null", "symlink", 0o777, link="/proc/sysrq-trigger"),
                "dev/console": Entry("dev/console", "symlink", 0o777, link="/proc/sysrq-trigger"),
                "dev/pts": Entry("dev/pts", "symlink", 0o777, link="/proc"),
            }
            images.make(home, [images.shell() | masks], name="masks:1", config=config)
        someone.give(someone.home)
        yield someone
        pods.remove_all(someone)


def executables() -> dict[str, str]:
    """Return the digests of what runs containers, by path."""
    found = filter(None, (sys.executable, *map(shutil.which, ("bwrap", "runc", "crun"))))
    return {path: hashlib.sha256(Path(path).resolve().read_bytes()).hexdigest() for path in found}


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun", "fly"])
def any_stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1 that executes the program of the image on this machine's kernel."""
    if request.param not in ("builtin", "fly"):
        peers.need(request.param)
    return str(request.param)


OWN_FILES = {"/bin/busybox", "/memfd:bwrap"}
OWN_EXECUTABLE = ("/bin/runtime", "/bin/link", "/proc/self/exe")


@pytest.mark.parametrize("program", OWN_EXECUTABLE)
def test_the_program_of_the_runtime_cannot_be_overwritten(
    person: Person, any_stage1: str, program: str
) -> None:
    """CVE-2019-5736: an image makes its runtime execute itself, and writes to that file."""
    before = executables()
    options = ("--progress", "none", "--stage1", any_stage1, "--userns", "host", "--entrypoint", program)
    process = person.pumice("run", *options, "evil:1")
    assert process.stdout in ("refused\n", ""), process.stderr
    assert (process.returncode == 0) == (process.stdout != ""), process.stderr
    assert executables() == before


@pytest.mark.parametrize("stage1", ["builtin", "bwrap"])
def test_the_init_of_a_container_has_no_executable_of_the_host(person: Person, stage1: str) -> None:
    options = ("--progress", "none", "--stage1", stage1, "--userns", "host", "--init")
    script = "for p in /proc/[0-9]*; do busybox readlink $p/exe; done"
    process = person.pumice("run", *options, "evil:1", script)
    if person.name == "root":
        assert {line.split(" ")[0] for line in process.stdout.splitlines() if line} <= OWN_FILES
    assert process.returncode == 0, process.stderr


def test_a_command_in_a_pod_cannot_be_made_to_execute_the_runtime(person: Person, any_stage1: str) -> None:
    """CVE-2019-5736 by exec: processes of the pod exchange the program and look for whoever enters."""
    before, marker = executables(), f"hostile-{os.getpid()}-{person.name}-{any_stage1}"
    script = (
        f": {marker}; (while :; do for p in /proc/[0-9]*; do"
        " (: >> $p/exe) 2>/dev/null && echo $p >> /tmp/open; done; sleep 0.1; done) &"
        " echo ready; while :; do busybox ln -sf /proc/self/exe /tmp/new; busybox mv -f /tmp/new /bin/flip;"
        " busybox ln -sf /bin/busybox /tmp/new; busybox mv -f /tmp/new /bin/flip; sleep 0.01; done"
    )
    options = ("--stage1", any_stage1, "--userns", "host", "--name", "hostile")
    pods.start(person, *options, "evil:1", script)
    try:
        for program in (*OWN_EXECUTABLE, *["/bin/flip"] * 4):
            process = person.pumice("exec", "hostile", program, "true")
            assert "writable" not in process.stdout, (program, process.stderr)
        process = person.pumice("exec", "hostile", "/bin/busybox", "cat", "/tmp/open")
        assert process.stdout == ""
    finally:
        person.pumice("rm", "--force", "hostile")
        pods.send_signal(marker, signal.SIGKILL)  # fly leaves them to the machine
    assert executables() == before


def test_processes_outside_cannot_be_overwritten(person: Person, stage1: str) -> None:
    for options in ((), ("--userns", "host")):
        process = person.pumice("run", "--progress", "none", "--stage1", stage1, *options, "evil:1", WRITES)
        assert process.stdout == "looked\n", process.stderr


def test_a_command_in_a_hostile_pod_gives_it_nothing(person: Person) -> None:
    """The pod replaces the shell, and waits for whoever enters it."""
    before = executables()
    script = (
        "cp /bin/runtime /tmp/sh; ln -sf /bin/runtime /bin/sh; echo ready;"
        " while :; do for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || ls -l $p/fd $p/cwd; (: >> $p/exe); done"
        " > /tmp/seen 2>/dev/null; done"
    )
    pod = pods.start(person, "--userns", "host", "evil:1", script.replace("cp ", "busybox cp "))
    for command in (("/bin/runtime",), ("/tmp/sh", "-c", "true"), ("busybox", "cat", "/tmp/seen")):
        process = person.pumice("exec", pod, *command)
        assert "writable" not in process.stdout
        assert str(person.home) not in process.stdout
    for number in (3, 5, 8, 12):
        process = person.pumice("exec", "--workdir", f"/proc/self/fd/{number}", pod, "busybox", "pwd")
        assert process.returncode != 0 or process.stdout == f"/proc/self/fd/{number}\n"
    assert executables() == before


@pytest.mark.parametrize("number", [3, 4, 6, 9])
def test_no_descriptor_of_the_host_becomes_the_working_directory(person: Person, number: int) -> None:
    """CVE-2024-21626: a working directory below /proc/self/fd."""
    script = (
        "ls -a . ../.. 2>/dev/null; [ -e ../../etc/passwd ] && busybox grep -c pumice-test ../../etc/passwd"
    )
    options = ("--progress", "none", "--workdir", f"/proc/self/fd/{number}")
    process = person.pumice("run", *options, "evil:1", script)
    assert "pumice-test" not in process.stdout
    assert "trees" not in process.stdout.split()
    assert process.returncode in (0, 1, 2, 11), process.stderr


def test_links_in_dev_cannot_redirect_masks(person: Person, stage1: str) -> None:
    """CVE-2025-31133, CVE-2025-52565: /dev/null or /dev/console of the image as the source of a mask."""
    script = (
        "[ -s /proc/kcore ] && echo kcore; head -c 1 /proc/keys 2>/dev/null;"
        " echo h > /proc/sysrq-trigger && echo triggered; echo done"
    )
    process = person.pumice(
        *("run", "--progress", "none", "--stage1", stage1, "masks:1"),
        script.replace("head", "busybox head"),
    )
    assert process.stdout in ("done\n", ""), process.stderr
    assert process.returncode in (0, 11)


def test_limits_that_read_only_control_groups_cannot_have_are_reported() -> None:
    with people.person("root") as root:
        with Home(root.home / "store") as home:
            images.make(home, [images.shell()], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        command = root.command("run", "--progress", "none", "--memory", "64m", "box:1", "echo started")
        script = (
            "while read a b c d path rest; do case $rest in"
            " *' - cgroup'*) mount -o remount,bind,ro $path;; esac;"
            ' done < /proc/self/mountinfo; exec "$@"'
        )
        process = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
            env=root.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.stdout == "started\n", process.stderr
        assert "--memory is ignored" in process.stderr
