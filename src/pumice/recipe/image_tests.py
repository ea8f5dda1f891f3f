"""The tests of an image, as values: what to run or to look up, and what to expect."""

from __future__ import annotations

from typing import Literal

import msgspec

Network = Literal["none", "host"]
FileKind = Literal["file", "directory", "link"]


class OutputRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a text must be like. Patterns are regular expressions and are searched for.

    With ``multiline``, ``^`` and ``$`` match at every line.
    """

    equals: str | None = None
    contains: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = ()
    not_matches: tuple[str, ...] = ()
    multiline: bool = True


class HttpCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to the started program, and the expected response; port 0 is the only exposed one."""

    port: int = 0
    method: str = "GET"
    path: str = "/"
    headers: dict[str, str] = {}
    send: str = ""
    status: int = 200
    response_headers: dict[str, str] = {}
    body: OutputRule | None = None


class TcpCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A connection to the started program: what to send, and what to receive."""

    port: int = 0
    send: str = ""
    receive: OutputRule | None = None


class FileCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A path of the image and what is there. Links are followed, except by ``link`` and ``permissions``.

    ``owner`` is ``user[:group]``, names or numbers. ``permissions`` is a text such as ``-rw-r--r--``, and
    ``executable_by`` one of owner, group, other and any.
    """

    path: str
    exists: bool = True
    kind: FileKind | Literal[""] = ""
    mode: int | None = None
    owner: str = ""
    link: str = ""
    content: OutputRule | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None
    executable_by: str = ""


class ConfigCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the config of the image must say; None is not checked. ``*_patterns`` match a whole value.

    Ports are ``NUMBER/tcp`` or ``NUMBER/udp``.
    """

    user: str | None = None
    command: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None
    directory: str | None = None
    environment: dict[str, str] = {}
    environment_patterns: dict[str, str] = {}
    labels: dict[str, str] = {}
    label_patterns: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    absent_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    absent_volumes: tuple[str, ...] = ()


class ImageTest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A test of an image.

    A program is run if a field up to ``tcp`` is set: ``command``, or the image's own command with
    ``arguments`` if they are given. ``timeout`` is in seconds, 0 for the default.
    """

    name: str = ""
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    input: str = ""
    environment: dict[str, str] = {}
    user: str = ""
    directory: str = ""
    setup: tuple[tuple[str, ...], ...] = ()
    network: Network | Literal[""] = ""
    timeout: int = 0
    exit_code: int | None = None
    stdout: OutputRule | None = None
    stderr: OutputRule | None = None
    http: tuple[HttpCheck, ...] = ()
    tcp: tuple[TcpCheck, ...] = ()
    file: tuple[FileCheck, ...] = ()
    image: ConfigCheck | None = None
    expands_variables: bool = False
    """Whether ``$NAME`` in ``environment`` stands for a variable of the image."""
    where: str = ""

    @property
    def is_server(self) -> bool:
        """Return whether the program is started, asked and stopped."""
        return bool(self.http or self.tcp)

    @property
    def runs_program(self) -> bool:
        """Return whether the test runs anything."""
        expectations = (self.exit_code, self.stdout, self.stderr)
        return bool(self.command or self.arguments or self.input or self.setup or self.is_server) or any(
            value is not None for value in expectations
        )

    def title(self) -> str:
        """Return the name of the test, or a description of what it does."""
        if self.name:
            return self.name
        if self.http:
            return f"{self.http[0].method} {self.http[0].path}"
        if self.tcp:
            return f"TCP port {self.tcp[0].port}" if self.tcp[0].port else "TCP"
        if self.runs_program:
            return " ".join(self.command) or " ".join(("run", *self.arguments))
        return f"file {self.file[0].path}" if self.file else "image"
