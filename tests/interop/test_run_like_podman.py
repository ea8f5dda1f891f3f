"""``pumice run`` does what ``podman run`` does, apart from the differences in docs/reference/podman.md.

The checks are those of docker-library's images and more. Each runs with podman and with every stage 1.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, people
from tests.support.peers import need
from tests.support.podman import private_podman, pull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.support.people import Person

PAGE = Path(__file__).parents[2] / "docs/reference/podman.md"
STAGES = ("builtin", "bwrap", "runc")
BIG = 3_000_000
_CAPABILITIES = "grep CapEff /proc/self/status | cut -f2"


class Check(NamedTuple):
    """What is run and what comes of it: the exit code and the standard output, as one text."""

    options: str
    command: Sequence[str]
    result: str
    stdin: str = ""


def shell(script: str, result: str, options: str = "", stdin: str = "") -> Check:
    return Check(options, ("sh", "-c", script), result, stdin)


CHECKS: dict[str, Check] = {
    "the exit code passes through": shell("exit 3", "3"),
    "a signal is 128 and its number": shell("sleep 9 & kill -9 $!; wait $!", "137"),
    "a missing program": Check("", ("/nope",), "127"),
    "a file that is not executable": Check("", ("/etc/passwd",), "126"),
    "a missing program in PATH": Check("", ("nope",), "127"),
    "an unknown user": Check("--user nobody-here", ("true",), "126"),
    "an unknown group": Check("--user web:nobody-here", ("true",), "126"),
    "an unknown option": Check("--no-such-option", ("true",), "125"),
    "an invalid mount": Check("--volume /no/such/directory:/x", ("true",), "125"),
    "no shell is needed": Check("", ("true",), "0"),
    "the image's command": Check("", (), "0 from the image"),
    "an entrypoint": Check("--entrypoint echo", ("a", "b"), "0 a b"),
    "the program is process 1": shell("echo $$", "0 1"),
    "variables of the image": shell("echo $A", "0 image"),
    "variables": shell("echo $A $B", "0 x y", "--env A=x --env B=y"),
    "a variable of the caller": shell("echo $CALLER", "0 here", "--env CALLER"),
    "the working directory of the image": shell("pwd", "0 /srv"),
    "a working directory": shell("pwd", "0 /tmp", "--workdir /tmp"),
    "a working directory that does not exist": shell("pwd", "126", "--workdir /new"),
    "a user with groups": shell("echo $(id -u) $(id -g) $(id -G)", "0 33 34 34 29 50", "--user web"),
    "a user and a group": shell("echo $(id -u) $(id -g) $(id -G)", "0 33 50 50", "--user web:staff"),
    "a user without a name": shell("echo $(id -u):$(id -g) $HOME", "0 1234:0 /srv", "--user 1234"),
    "the home directory": shell("echo $HOME", "0 /srv", "--user web"),
    "standard input": shell("cat", "0 typed", "--interactive", "typed"),
    "standard input without -i": shell("cat", "0", "", "typed"),
    "much output": shell(f"yes | head -c {BIG} | md5sum; yes | head -c {BIG}", "0 big"),
    "output by name, not as root": shell("echo out > /dev/stdout", "0 out", "--user web"),
    "a read-only root": shell("touch /tmp/x; touch /x", "1", "--read-only"),
    "a file system in memory": shell("stat -c %a /t; touch /t/x", "0 700", "--tmpfs /t:mode=0700,size=1m"),
    "a full file system in memory": shell(
        "dd if=/dev/zero of=/t/x bs=1k count=2000 2>/dev/null", "1", "--tmpfs /t:size=1m"
    ),
    "an additional host": shell(
        "grep 10.9.8.7 /etc/hosts | tr -s '\\t ' ' '", "0 10.9.8.7 db", "--add-host db:10.9.8.7"
    ),
    "a host name": shell("hostname", "0 box.example", "--hostname box.example"),
    "the host name in /etc/hosts": shell("grep -c box.example /etc/hosts", "0 1", "--hostname box.example"),
    "a resource limit": shell("ulimit -Sn; ulimit -Hn", "0 64 128", "--ulimit nofile=64:128"),
    "no capabilities": shell(_CAPABILITIES, "0 0000000000000000", "--cap-drop ALL"),
    "the default capabilities": shell(_CAPABILITIES, "0 00000000800405fb"),
    "one capability": shell(_CAPABILITIES, "0 0000000000002000", "--cap-drop ALL --cap-add NET_RAW"),
    "no capabilities without root": shell(_CAPABILITIES, "0 0000000000000000", "--user web"),
    "new privileges": shell("grep NoNewPrivs /proc/self/status | cut -f2", "0 0"),
    "no new privileges": shell(
        "grep NoNewPrivs /proc/self/status | cut -f2", "0 1", "--security-opt no-new-privileges"
    ),
    "a filter of system calls": shell("grep Seccomp: /proc/self/status | cut -f2", "0 2"),
    "hidden files of the kernel": shell(
        "cat /proc/kcore /proc/keys | wc -c; ls /sys/firmware | wc -l", "0 0 0"
    ),
    "settings of the kernel are read-only": shell("echo 1 > /proc/sys/vm/swappiness", "1"),
    "no devices of the machine": shell("ls /dev/sda /dev/vda /dev/mem 2>/dev/null | wc -l", "0 0"),
    "a named volume for a user": shell("touch /v/x && ls /v", "0 x", "--user web --volume names-a:/v"),
    "a named volume gets the image's files": shell("ls /srv", "0 data", "--volume names-b:/srv"),
    "a read-only volume": shell("touch /v/x", "1", "--volume names-c:/v:ro"),
    "an anonymous volume": shell("touch /v/x && ls /v", "0 x", "--volume /v"),
    "a mount of type=volume": shell("touch /v/x && ls /v", "0 x", "--mount type=volume,src=names-d,dst=/v"),
}


@pytest.fixture(scope="module")
def root() -> Iterator[Person]:
    with people.person("root") as person:
        content = images.shell()
        for applet in ("cut", "dd", "head", "hostname", "md5sum", "stat", "stty", "tr", "true", "wc", "yes"):
            content[f"bin/{applet}"] = Entry(f"bin/{applet}", "symlink", 0o777, link="busybox")
        content["srv/data"] = "data\n"
        config = oci.RunConfig(env=("A=image",), working_dir="/srv", cmd=("echo", "from the image"))
        with Home(person.home / "store") as home:
            images.make(home, [content], name="box:1", config=config)
        assert person.pumice("copy", "box:1", "oci:layout", "--insecure-options=image").returncode == 0
        yield person


@pytest.fixture(scope="module")
def tools(root: Person) -> Iterator[dict[str, list[str]]]:
    """The command of each tool up to its options."""
    with private_podman() as podman:
        image = pull(podman, f"oci:{root.home}/layout")
        subprocess.run([*podman, "tag", image, "localhost/box:1"], check=True)
        limits = ["--ulimit", "nproc=1024:1024"]  # this machine may not allow podman's own
        yield {
            "podman": [*podman, "run", "--rm", "--network", "none", *limits],
            **{
                stage1: root.command("run", "--progress", "none", "--stage1", stage1, "--network", "none")
                for stage1 in STAGES
                if stage1 == "builtin" or need(stage1)
            },
        }


_ATTEMPTS = 5
"""What podman gets: it may end before it has copied what the program prints. It shows output before it passes
signals on, and ends with 0 at a signal that comes in between."""


def run(root: Person, tool: str, command: list[str], check: Check) -> str:
    """Return the result of a check with one tool."""
    options = check.options.split()
    if tool == "podman" and "nofile" not in check.options:
        options += ["--ulimit", "nofile=1024:1024"]
    if tool != "podman":
        options = [option.replace("names-", f"names-{tool}-") for option in options]
    process = subprocess.run(
        [*command, *options, "localhost/box:1" if tool == "podman" else "box:1", *check.command],
        env={**os.environ, **root.environment({"CALLER": "here"})},
        input=check.stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = " ".join(process.stdout.split())
    if len(process.stdout) > BIG and process.stdout.count("y\n") == BIG // 2:
        output = "big"
    return f"{process.returncode} {output}".strip()


def differences() -> dict[tuple[str, str], str]:
    """Return the documented results of Pumice that differ from podman's, by check and stage 1."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 5 and cells[0] in CHECKS:
            check, podman, stages, pumice, reason = cells
            assert CHECKS[check].result == podman.strip("`"), (
                f"the page has another result of podman for {check}"
            )
            assert reason
            for stage1 in STAGES if stages == "all" else stages.split(", "):
                found[check, stage1] = pumice.strip("`")
    return found


@pytest.mark.peer("podman", "runc", "bwrap")
@pytest.mark.parametrize("tool", ["podman", *STAGES])
def test_every_check_has_its_result(root: Person, tools: dict[str, list[str]], tool: str) -> None:
    documented = differences()
    expected = {name: documented.get((name, tool), check.result) for name, check in CHECKS.items()}

    def find_others(names: Iterable[str]) -> dict[str, str]:
        """Return the results that are not those that are expected."""
        results = {name: run(root, tool, tools[tool], CHECKS[name]) for name in names}
        return {name: result for name, result in results.items() if result != expected[name]}

    others = find_others(CHECKS)
    for _ in range(_ATTEMPTS if tool == "podman" else 0):
        others = find_others(others)
    assert others == {}


@pytest.mark.peer("podman", "runc", "bwrap")
@pytest.mark.parametrize("tool", ["podman", *STAGES])
def test_a_terminal_has_its_size_and_signals_pass_through(
    root: Person, tools: dict[str, list[str]], tool: str
) -> None:
    image = "localhost/box:1" if tool == "podman" else "box:1"
    limits = ["--ulimit", "nofile=1024:1024"] if tool == "podman" else []
    script = "[ -t 0 ] && [ -t 1 ] && stty size"
    controller, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    process = subprocess.run(
        [*tools[tool], *limits, "--interactive", "--tty", image, "sh", "-c", script],
        env={**os.environ, **root.environment()},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        check=False,
    )
    os.close(terminal)
    output = os.read(controller, 4096).decode()
    os.close(controller)
    assert (process.returncode, output.strip()) == (0, "33 77")
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    command = [*tools[tool], *limits, image, "sh", "-c", script]
    codes = [terminate(command, root)]
    while tool == "podman" and codes[-1] == 0 and len(codes) < _ATTEMPTS:
        codes.append(terminate(command, root))
    assert codes[-1] == 5


def terminate(command: list[str], person: Person) -> int:
    """Send SIGTERM to a command once it has written a line; return its exit code."""
    with subprocess.Popen(
        command, env={**os.environ, **person.environment()}, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.terminate()
        return running.wait(60)
