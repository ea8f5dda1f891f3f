"""Determine the process to run from the config of an image and the options of the user.

Image-spec 1.1, config.md ("User", "Env", "Entrypoint", "Cmd", "WorkingDir") and conversion.md.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError, UsageError
from pumice.runtime import image_strings, tree_lookup
from pumice.runtime.container import Process
from pumice.runtime.sandbox.options import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pumice.formats.oci import RunConfig

_MAX_DATABASE = 4 << 20
_MAX_ID = (1 << 32) - 2


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """The user's changes to the config; None and empty values keep those of the image.

    ``command`` replaces the entrypoint with several words. ``environment`` has ``NAME=VALUE``, or ``NAME`` to
    copy the variable of this process.
    """

    arguments: tuple[str, ...] = ()
    entrypoint: str | None = None
    command: tuple[str, ...] | None = None
    user: str | None = None
    directory: str | None = None
    environment: tuple[str, ...] = ()


class Identity(msgspec.Struct, frozen=True):
    """The ids and the home directory of a user."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def plan_process(
    config: RunConfig,
    root: Path,
    overrides: Overrides,
    environ: Mapping[str, str],
    *,
    has_terminal: bool = False,
) -> Process:
    """Return the process for an image whose tree is at ``root``; with a terminal, it gets a ``TERM``.

    Raises ImageError if the image has no program, lacks its user, or has control characters in its config;
    raises UsageError for invalid overrides. Only named variables of ``environ`` are copied.
    """
    image_strings.check_config(config)
    _check_overrides(overrides)
    identity = find_identity(overrides.user if overrides.user is not None else config.user, root)
    return Process(
        arguments=_arguments(config, overrides),
        environment={
            **({"TERM": "xterm"} if has_terminal else {}),
            **_environment(config.env, overrides.environment, identity, environ),
        },
        directory=_directory(overrides.directory or config.working_dir or "/"),
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
    )


def _arguments(config: RunConfig, overrides: Overrides) -> tuple[str, ...]:
    if overrides.command is not None:
        arguments = (*overrides.command, *overrides.arguments)
    elif overrides.entrypoint is not None:
        # As in other tools, the arguments of the image belong to the entrypoint of the image.
        entrypoint = (overrides.entrypoint,) if overrides.entrypoint else ()
        arguments = (*entrypoint, *overrides.arguments)
    else:
        arguments = (*config.entrypoint, *(overrides.arguments or config.cmd))
    if not arguments or not arguments[0]:
        raise ImageError(
            "the image has no entrypoint and no command",
            hint="name a program after the image: pumice run REF PROGRAM",
        )
    if overrides.entrypoint is None and overrides.command is None:
        # Errors name the program, and a line feed could add a line to them.
        image_strings.check_name(arguments[0], "program")
    return arguments


def _check_overrides(overrides: Overrides) -> None:
    texts_by_name = {
        "argument": (*overrides.arguments, *(overrides.command or ())),
        "program": (overrides.entrypoint or "",),
        "user": (overrides.user or "",),
        "working directory": (overrides.directory or "",),
    }
    for name, texts in texts_by_name.items():
        for text in texts:
            if "\0" in text:
                raise UsageError(f"the {name} {text[:100]!r} contains a NUL")


def _environment(
    image: Sequence[str], overrides: Sequence[str], identity: Identity, environ: Mapping[str, str]
) -> dict[str, str]:
    variables = {"PATH": DEFAULT_PATH}
    for line in image:
        name, equals, value = line.partition("=")
        if name and equals:
            variables[name] = value
    for line in overrides:
        name, equals, value = line.partition("=")
        if not name or "\0" in line:
            raise UsageError(f"{line!r} is not a variable", hint="write --env NAME=VALUE, or --env NAME")
        if equals:
            variables[name] = value
        elif name in environ:
            variables[name] = environ[name]
    variables.setdefault("HOME", identity.home)
    return variables


def _directory(path: str) -> str:
    if not path.startswith("/"):
        raise UsageError(
            f"the working directory {path!r} is not an absolute path", hint=f"write /{path[:200]}"
        )
    # POSIX allows a special meaning for two leading slashes, which Linux does not use.
    return "/" + posixpath.normpath(path).lstrip("/")


# Users --------------------------------------------------------------------------------------------


def find_identity(user: str, root: Path) -> Identity:
    """Return the identity of ``user`` (``NAME|UID[:NAME|GID]``, empty for root) in the tree at ``root``.

    Without a group, it has the user's primary group and the supplementary groups in ``/etc/group`` of the
    image. Raises ImageError for a name that is not in the image.
    """
    name, colon, group = user.partition(":")
    name = name or "0"
    entry = _user(name, root)
    if entry is None and not _is_number(name):
        raise ImageError(
            f"the image has no user {name!r}", hint="see its /etc/passwd, or give a number with --user"
        )
    uid = entry[0] if entry else _number(name)
    login, home = (entry[2], entry[3]) if entry else ("", "/")
    if colon and group:
        return Identity(uid, _group(group, root), (), home)
    gid = entry[1] if entry else 0
    return Identity(uid, gid, tuple(sorted(_memberships(login, root) - {gid})), home)


def find_account(uid: int, root: Path) -> tuple[str, str]:
    """Return the name and the shell of a user in the tree at ``root``; both empty if it does not have it."""
    entry = _user(str(uid), root)
    return (entry[2], entry[4]) if entry else ("", "")


def _user(name: str, root: Path) -> tuple[int, int, str, str, str] | None:
    """Return uid, gid, name, home directory and shell of the first matching line of passwd."""
    for fields in _read_database(root, "etc/passwd", 7):
        if not (_is_number(fields[2]) and _is_number(fields[3])):
            continue
        if fields[2] == name if _is_number(name) else fields[0] == name:
            home = image_strings.check_name(fields[5], "/etc/passwd (a home directory)")
            return _number(fields[2]), _number(fields[3]), fields[0], home or "/", fields[6]
    return None


def _group(name: str, root: Path) -> int:
    if _is_number(name):
        return _number(name)
    for fields in _read_database(root, "etc/group", 4):
        if fields[0] == name and _is_number(fields[2]):
            return _number(fields[2])
    raise ImageError(f"the image has no group {name!r}", hint="see its /etc/group, or give a number")


def _memberships(login: str, root: Path) -> set[int]:
    return {
        _number(fields[2])
        for fields in _read_database(root, "etc/group", 4)
        if login and login in fields[3].split(",") and _is_number(fields[2])
    }


def _read_database(root: Path, path: str, fields: int) -> Iterator[list[str]]:
    data = tree_lookup.read_file(root, path, _MAX_DATABASE) or b""
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        columns = line.split(":")
        if len(columns) == fields:
            yield columns


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_ID


def _number(text: str) -> int:
    return int(text)
