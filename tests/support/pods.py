"""Persons who have an image with a shell in their store, and run pods of it."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, people, waiting

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.people import Person

READY = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"
"""A script that runs until it gets SIGTERM, and ends with the exit code 5 then."""
AWAIT_CALL, CALL = "nc -l -p 8000", "until nc 127.0.0.1 8000 </dev/null; do sleep 0.1; done"
"""What two apps of a pod do so that the first does not end before the second gets there. The number of a
namespace that has ended is given to another one."""
NANOSECONDS = 1_000_000_000


@contextmanager
def person_with_images(name: str) -> Iterator[Person]:
    """Yield a person who has the images ``box:1`` and ``sick:1``, whose health is that of ``/tmp/ok``.

    At the end, the pods of the person are killed.
    """
    with people.person(name) as person:
        content = images.shell()
        for applet in ("chmod", "dd", "head", "ln", "mv", "nc", "stat", "true", "tty", "wc", "yes"):
            content[f"bin/{applet}"] = Entry(f"bin/{applet}", "symlink", 0o777, link="busybox")
        check = oci.HealthCheck(("CMD-SHELL", "cat /tmp/ok"), NANOSECONDS // 10, 5 * NANOSECONDS, 0, 2)
        with Home(person.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"), exposed_ports={"8080/tcp": oci.Empty()})
            images.make(home, [content], name="box:1", config=config)
            sick = oci.RunConfig(entrypoint=("sh", "-c"), healthcheck=check)
            images.make(home, [content], name="sick:1", config=sick)
        person.give(person.home)
        try:
            yield person
        finally:
            remove_all(person)


def prepare(person: Person, *arguments: str) -> str:
    """Prepare a pod and return its id."""
    return run_ok(person, "prepare", "--progress", "none", *arguments).strip()


def remove_all(person: Person) -> None:
    """Remove all pods of a person."""
    ids = person.pumice("ps", "--all", "--quiet", "--no-trunc").stdout.split()
    if ids:
        person.pumice("rm", "--force", *ids)


def start(person: Person, *arguments: str) -> str:
    """Start a pod in the background and return its id."""
    process = person.pumice("run", "--detach", "--progress", "none", *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def wait_for_log(person: Person, text: str, *arguments: str) -> str:
    """Wait until the log of a pod has ``text``, and return it; ``arguments`` are those of ``logs``."""
    log = ""

    def has_text() -> bool:
        nonlocal log
        log = run_ok(person, "logs", *arguments)
        return text in log

    waiting.until(has_text, lambda: log)
    return log


def status(person: Person, pod: str, *options: str) -> dict[str, Any]:
    """Return what ``pumice status`` says of a pod."""
    process = person.pumice("status", "--json", *options, pod)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)[0]
    return result


def run_ok(person: Person, *arguments: str) -> str:
    """Run ``pumice`` and return its output; the command must succeed."""
    process: subprocess.CompletedProcess[str] = person.pumice(*arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def processes_with(text: str) -> list[int]:
    """Return the processes of this machine whose command line contains a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def lasting_sleep(number: int = 0) -> str:
    """Return a command that goes on for years, and that no other run of tests has, with a ``number``."""
    return f"sleep 1{os.getpid():07}{number:02}"


def send_signal(text: str, number: int) -> None:
    """Send a signal to the processes of this machine whose command line contains a text."""
    for pid in processes_with(text):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for_end(text: str) -> None:
    """Wait until no process of this machine has a text in its command line."""
    waiting.until(lambda: not processes_with(text), lambda: processes_with(text))


def find_supervisor(pid: int) -> int:
    """Return the supervisor of the pod of a process; its children have its command line, too."""
    supervisor = 0
    while pid > 1:
        if b"pods/supervisor/__main__.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            supervisor = pid
        status = Path(f"/proc/{pid}/status").read_text()
        pid = int(status.partition("PPid:")[2].split()[0])
    return supervisor


def programs_with(command: str) -> list[int]:
    """Return the processes of this machine whose command line is this."""
    words = command.replace(" ", "\0").encode() + b"\0"
    return [pid for pid in processes_with(command) if _read_command(pid) == words]


def _read_command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file of a pod says."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
