"""A recipe for each problem that a build must warn of, and one that differs only in having it solved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pumice.cli.main import main
from tests.support.deb import Deb, Item, folder, text
from tests.support.objects import program
from tests.support.world import PACKAGES, World

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBC = "usr/lib/x86_64-linux-gnu/libc.so.6"


def elf(path: str, *needed: str, mode: int = 0o755, symbols: tuple[str, ...] = ()) -> Item:
    return Item(path, program(["libc.so.6", *needed], symbols=symbols), mode=mode)


def script(path: str, body: str, interpreter: str = "/bin/sh") -> Item:
    return text(path, f"#!{interpreter}\n{body}\n", 0o755)


def library(path: str) -> Item:
    return Item(path, program(interpreter="", soname=path.rpartition("/")[2]))


def deb(name: str, *files: Item) -> Deb:
    return Deb(name, architecture="all", files=list(files))


ARCHIVE = [
    *PACKAGES,
    deb("libc6", library("usr/lib64/ld-linux-x86-64.so.2"), library(LIBC)),
    deb("dash", elf("usr/bin/sh")),
    deb("coreutils", *(elf(f"usr/bin/{name}") for name in ("dirname", "rm", "env"))),
    deb("python3-minimal", elf("usr/bin/python3", symbols=("system",))),
    deb("libextra", library("usr/lib/x86_64-linux-gnu/libextra.so.1")),
    deb("locale", folder("usr/lib/locale/C.utf8")),
    deb(
        "app",
        elf("usr/bin/server"),
        elf("usr/bin/with-library", "libextra.so.1"),
        elf("usr/bin/for-root", mode=0o700),
        elf("usr/bin/initdb", symbols=("popen",)),
        text("usr/bin/data", "data"),
        script("usr/bin/start", 'cd "$(dirname "$0")"; rm -f x; exec /usr/bin/server'),
        script("usr/bin/by-env", "print()", "/usr/bin/env python3"),
        script("usr/bin/by-python", "print()", "/usr/bin/python3"),
    ),
]


def recipe(*packages: str, **keys: str) -> str:
    """Return the lines of a recipe: packages besides app, and values in YAML."""
    lines = [f"{key}: {value}" for key, value in keys.items()]
    return "\n".join([f"packages: [{', '.join(('app', *packages))}]", *lines, ""])


def server(settings: str = "") -> str:
    return f"{{command: [/usr/bin/server]{', ' if settings else ''}{settings}}}"


CASES: dict[str, tuple[str, str, str]] = {
    "command": (
        recipe("libc6", run="{command: [/usr/bin/gone]}"),
        "the program '/usr/bin/gone' does not exist",
        recipe("libc6", run=server()),
    ),
    "health check": (
        recipe("libc6", run=server("health: {command: [curl, -f]}")),
        "the program 'curl' does not exist in PATH",
        recipe("libc6", run=server("health: {command: [server]}")),
    ),
    "not executable": (
        recipe("libc6", run="{command: [/usr/bin/data]}"),
        "the program '/usr/bin/data' is not executable (mode 0644)",
        recipe(
            "libc6", run="{command: [/usr/bin/data]}", permissions='[{path: /usr/bin/data, mode: "0755"}]'
        ),
    ),
    "not executable for the user": (
        recipe("libc6", run="{command: [/usr/bin/for-root], user: nonroot}"),
        "the user 'nonroot' may not execute the program '/usr/bin/for-root' (owner 0, mode 0700)",
        recipe("libc6", run="{command: [/usr/bin/for-root], user: root}"),
    ),
    "loader and C library": (
        recipe(run=server()),
        "the loader /lib64/ld-linux-x86-64.so.2 of /usr/bin/server is not in the image",
        recipe("libc6", run=server()),
    ),
    "needed library": (
        recipe("libc6", run="{command: [/usr/bin/with-library]}"),
        "the library libextra.so.1, which /usr/bin/with-library needs, is not in the image",
        recipe("libc6", "libextra", run="{command: [/usr/bin/with-library]}"),
    ),
    "interpreter": (
        recipe("libc6", run="{command: [/usr/bin/by-python]}"),
        "/usr/bin/python3, which interprets /usr/bin/by-python, is not in the image",
        recipe("libc6", "python3-minimal", "dash", run="{command: [/usr/bin/by-python]}"),
    ),
    "interpreter through env": (
        recipe("libc6", "coreutils", run="{command: [/usr/bin/by-env]}"),
        "python3, which interprets /usr/bin/by-env, is not in the image",
        recipe("libc6", "coreutils", "python3-minimal", "dash", run="{command: [/usr/bin/by-env]}"),
    ),
    "shell": (
        recipe("libc6", "coreutils", run="{command: [/usr/bin/start]}"),
        "/bin/sh, which interprets /usr/bin/start, is not in the image",
        recipe("libc6", "coreutils", "dash", run="{command: [/usr/bin/start]}"),
    ),
    "basic tools": (
        recipe("libc6", "dash", run="{command: [/usr/bin/start]}"),
        "/usr/bin/start runs dirname and rm, which are not in the image",
        recipe("libc6", "dash", "coreutils", run="{command: [/usr/bin/start]}"),
    ),
    "script of the recipe": (
        recipe(
            *("libc6", "dash"),
            files='[{text: "#!/bin/sh\\nexec servr\\n", to: /run.sh, mode: "0755"}]',
            run="{command: [/run.sh]}",
        ),
        "/run.sh runs servr, which is not in the image",
        recipe(
            *("libc6", "dash"),
            files='[{text: "#!/bin/sh\\nexec server\\n", to: /run.sh, mode: "0755"}]',
            run="{command: [/run.sh]}",
        ),
    ),
    "text for the shell": (
        recipe("libc6", "dash", run="{command: [sh, -ec, 'umask 22; exec /usr/sbin/server']}"),
        "the command runs /usr/sbin/server, which is not in the image",
        recipe("libc6", "dash", run="{command: [sh, -ec, 'umask 22; exec /usr/bin/server']}"),
    ),
    "programs that need a shell": (
        recipe("libc6", run="{command: [/usr/bin/initdb]}"),
        "/usr/bin/initdb runs commands by /bin/sh, which is not in the image",
        recipe("libc6", "dash", run="{command: [/usr/bin/initdb]}"),
    ),
    "locale": (
        recipe("libc6", environment="{LC_ALL: de_DE.UTF-8}", run=server()),
        "the locale 'de_DE.UTF-8' of LC_ALL does not exist",
        recipe("libc6", "locale", environment="{LC_ALL: C.UTF-8}", run=server()),
    ),
    "dangling link": (
        recipe("libc6", files="[{link: ../opt/app.conf, to: /etc/app.conf}]", run=server()),
        "the link /etc/app.conf leads to ../opt/app.conf, which does not exist",
        recipe("libc6", files="[{link: /usr/bin/data, to: /etc/app.conf}]", run=server()),
    ),
    "working directory": (
        recipe("libc6", run=server("directory: /srv")),
        "the directory /srv does not exist",
        recipe("libc6", files="[{directory: true, to: /srv}]", run=server("directory: /srv")),
    ),
    "working directory of another user": (
        recipe(
            "libc6",
            files='[{directory: true, to: /srv, mode: "0700"}]',
            run=server("directory: /srv, user: nonroot"),
        ),
        "the user 'nonroot' may not enter the working directory /srv (owner 0, mode 0700)",
        recipe(
            "libc6",
            files='[{directory: true, to: /srv, mode: "0700", owner: nonroot}]',
            run=server("directory: /srv, user: nonroot"),
        ),
    ),
    "volume": (
        recipe(
            *("libc6",),
            files="[{directory: true, to: /data}]",
            run=server("volumes: {data: /data}, user: nonroot"),
        ),
        "the user 'nonroot' cannot write to the volume /data (owner 0, mode 0755)",
        recipe(
            *("libc6",),
            files="[{directory: true, to: /data, owner: nonroot}]",
            run=server("volumes: {data: /data}, user: nonroot"),
        ),
    ),
    "log file without a directory": (
        recipe("libc6", run="{command: [/usr/bin/server, --log=/var/log/app/log], user: nonroot}"),
        "the directory of /var/log/app/log, which the command names, does not exist",
        recipe(
            *("libc6",),
            files="[{directory: true, to: /var/log/app, owner: nonroot}]",
            run="{command: [/usr/bin/server, --log=/var/log/app/log], user: nonroot}",
        ),
    ),
    "log file of another user": (
        recipe(
            *("libc6",),
            files='[{directory: true, to: /var/log/app}, {text: "log /var/log/app/log;", to: /etc/app.conf}]',
            run=server("user: nonroot"),
        ),
        "the user 'nonroot' cannot write /var/log/app/log, which /etc/app.conf names (owner 0, mode 0755)",
        recipe(
            *("libc6",),
            files='[{directory: true, to: /var/log/app}, {text: "# log /var/log/app/log", to: /etc/app.conf},'
            " {link: /dev/stderr, to: /var/log/app/error}]",
            run=server("user: nonroot, arguments: [-l, /var/log/app/error]"),
        ),
    ),
    "process id file": (
        recipe("libc6", run="{command: [/usr/bin/server, --pid-file, /run/app/pid]}"),
        "the directory of /run/app/pid, which the command names, does not exist",
        recipe("libc6", run="{command: [/usr/bin/server, --backend, /run/other/socket]}"),
    ),
    "port": (
        recipe("libc6", run=server("user: nonroot, ports: {http: 80}")),
        "the user 'nonroot' may not open port 80 on every host",
        recipe("libc6", run=server("user: nonroot, ports: {http: 8080}")),
    ),
    "set-id": (
        recipe("libc6", permissions='[{path: /usr/bin/server, mode: "4755"}]', run=server()),
        "/usr/bin/server runs with the rights of its owner (mode 4755)",
        recipe("libc6", permissions='[{path: /usr/bin/server, mode: "0711"}]', run=server()),
    ),
    "world-writable": (
        recipe("libc6", files='[{directory: true, to: /x, mode: "0777"}]', run=server()),
        "every user can write to /x (mode 0777)",
        recipe("libc6", files='[{directory: true, to: /x, mode: "1777"}]', run=server()),
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("checks"), ARCHIVE)


@pytest.fixture
def project(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(world.project)
    monkeypatch.setenv("PUMICE_HOME", str(world.root / "store"))
    yield world
    (world.project / "recipe.lock").unlink(missing_ok=True)


def findings(world: World, lines: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Build a recipe, and return the messages of its warnings and notes."""
    packages, _, rest = lines.partition("\n")
    world.write(rest, packages=packages.removeprefix("packages: "))
    assert main(("build", "recipe.yaml", "--verbose", "--color", "never", "--progress", "plain")) == 0
    errors = capsys.readouterr().err
    return re.findall(r"^(?:warning: |note: )?recipe\.yaml:\d+:\d+: (.*) \[[\w-]+\]", errors, re.MULTILINE)


@pytest.mark.parametrize("case", CASES)
def test_a_problem_is_found_until_it_is_solved(
    project: World, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, message, right = CASES[case]
    found = findings(project, wrong, capsys)
    assert any(finding.startswith(message) for finding in found), found
    assert findings(project, right, capsys) == []
