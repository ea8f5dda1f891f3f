"""From an image's config and a person's wishes to the process that is run.

Image-spec 1.1, config.md ("User", "Env", "Entrypoint", "Cmd", "WorkingDir") and conversion.md.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError, UsageError
from pumice.runtime import image_strings, tree_lookup
from pumice.runtime.container import Process
from pumice.runtime.sandbox import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pumice.formats.oci import RunConfig

_MAX_DATABASE = 4 << 20
_MAX_ID = (1 << 32) - 2


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants otherwise than the image says; None and empty mean as the image says.

    ``environment`` holds ``NAME=VALUE``, or ``NAME`` to take the value that it has here.
    """

    arguments: tuple[str, ...] = ()
    entrypoint: str | None = None
    user: str | None = None
    directory: str | None = None
    environment: tuple[str, ...] = ()


class Identity(msgspec.Struct, frozen=True):
    """A user as the kernel and the program know it."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def plan(
    config: RunConfig,
    root: Path,
    overrides: Overrides,
    environ: Mapping[str, str],
    *,
    has_terminal: bool = False,
) -> Process:
    """Return the process for an image whose tree is at ``root``; on a terminal it gets a ``TERM``.

    Raises ImageError when the image names no program or a user that it does not have, or says any of
    it in control characters, UsageError when the wishes make no sense. ``environ`` is only asked for
    variables that are named.
    """
    image_strings.check_config(config)
    _check_overrides(overrides)
    who = identity(overrides.user if overrides.user is not None else config.user, root)
    return Process(
        arguments=_arguments(config, overrides),
        environment={
            **({"TERM": "xterm"} if has_terminal else {}),
            **_environment(config.env, overrides.environment, who, environ),
        },
        directory=_directory(overrides.directory or config.working_dir or "/"),
        uid=who.uid,
        gid=who.gid,
        groups=who.groups,
    )


def _arguments(config: RunConfig, overrides: Overrides) -> tuple[str, ...]:
    if overrides.entrypoint is not None:
        # As with other tools, the image's arguments belong to the image's entry point.
        entrypoint = (overrides.entrypoint,) if overrides.entrypoint else ()
        arguments = (*entrypoint, *overrides.arguments)
    else:
        arguments = (*config.entrypoint, *(overrides.arguments or config.cmd))
    if not arguments or not arguments[0]:
        raise ImageError(
            "the image does not say what to run",
            hint="name a program after the image: pumice run REF PROGRAM",
        )
    if overrides.entrypoint is None:
        # Errors name it: a line end in it could add a line to them.
        image_strings.check_name(arguments[0], "program")
    return arguments


def _check_overrides(overrides: Overrides) -> None:
    words = {
        "argument": overrides.arguments,
        "program": (overrides.entrypoint or "",),
        "user": (overrides.user or "",),
        "working directory": (overrides.directory or "",),
    }
    for name, texts in words.items():
        for text in texts:
            if "\0" in text:
                raise UsageError(f"the {name} {text[:100]!r} contains a NUL")


def _environment(
    image: Sequence[str], wishes: Sequence[str], who: Identity, environ: Mapping[str, str]
) -> dict[str, str]:
    found = {"PATH": PATH}
    for line in image:
        name, equals, value = line.partition("=")
        if name and equals:
            found[name] = value
    for line in wishes:
        name, equals, value = line.partition("=")
        if not name or "\0" in line:
            raise UsageError(f"{line!r} is no variable", hint="--env takes NAME=VALUE")
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    found.setdefault("HOME", who.home)
    return found


def _directory(path: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"the working directory {path!r} is not an absolute path")
    # Two slashes at the start mean something special to POSIX, but nothing here.
    return "/" + posixpath.normpath(path).lstrip("/")


# Users --------------------------------------------------------------------------------------------


def identity(user: str, root: Path) -> Identity:
    """Return who ``user`` (``NAME|UID[:NAME|GID]``, empty for root) is in the tree at ``root``.

    Without a group it is the user's own, with the others that the image's ``/etc/group`` lists.
    Raises ImageError for a name that the image does not have.
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


def _user(name: str, root: Path) -> tuple[int, int, str, str] | None:
    """Return uid, gid, name and home of the first line of passwd that fits."""
    for fields in _lines(root, "etc/passwd", 7):
        if not (_is_number(fields[2]) and _is_number(fields[3])):
            continue
        if fields[2] == name if _is_number(name) else fields[0] == name:
            home = image_strings.check_name(fields[5], "/etc/passwd (a home directory)")
            return _number(fields[2]), _number(fields[3]), fields[0], home or "/"
    return None


def _group(name: str, root: Path) -> int:
    if _is_number(name):
        return _number(name)
    for fields in _lines(root, "etc/group", 4):
        if fields[0] == name and _is_number(fields[2]):
            return _number(fields[2])
    raise ImageError(f"the image has no group {name!r}", hint="see its /etc/group, or give a number")


def _memberships(login: str, root: Path) -> set[int]:
    return {
        _number(fields[2])
        for fields in _lines(root, "etc/group", 4)
        if login and login in fields[3].split(",") and _is_number(fields[2])
    }


def _lines(root: Path, path: str, fields: int) -> Iterator[list[str]]:
    data = tree_lookup.read(root, path, _MAX_DATABASE) or b""
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        parts = line.split(":")
        if len(parts) == fields:
            yield parts


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_ID


def _number(text: str) -> int:
    return int(text)
