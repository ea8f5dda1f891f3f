"""Check strings from an image before they are used to start a program.

JSON and lines of ``/etc/passwd`` can contain any character; paths, names and system calls cannot. Checked
strings have no NUL, which ends a string for the kernel. Names have no control characters at all, which
would start a new line or field for a reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.formats.oci import RunConfig

_CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
# Scripts and colored prompts are arguments and values of many images, and only execve sees them.
_IN_SCRIPTS = frozenset("\t\n\r\x1b")


def check_name(text: str, field: str) -> str:
    """Return ``text`` of the image's ``field``; raises ImageError if it has a control character."""
    if not _CONTROLS.isdisjoint(text):
        raise _control_character_error(text, field)
    return text


def check_text(text: str, field: str) -> str:
    """Return ``text`` of the image's ``field``; raises ImageError for control characters other than
    tab, line feed, carriage return and escape, which free text may have.
    """
    if not (_CONTROLS - _IN_SCRIPTS).isdisjoint(text):
        raise _control_character_error(text, field)
    return text


def _control_character_error(text: str, field: str) -> ImageError:
    return ImageError(
        f"the image's {field} contains a control character: {text[:100]!r}",
        hint="do not run this image unless you trust its publisher: no tool writes this by accident",
    )


def check_config(config: RunConfig) -> None:
    """Raise ImageError if a field that affects how the image runs contains control characters."""
    for field, text in _list_strings(config):
        check_name(text, field)
    for field, arguments in (("Entrypoint", config.entrypoint), ("Cmd", config.cmd)):
        for argument in arguments:
            check_text(argument, field)
    for line in config.env:
        name, _, value = line.partition("=")
        check_name(name, "Env")
        check_text(value, "Env")


def _list_strings(config: RunConfig) -> Iterator[tuple[str, str]]:
    yield "User", config.user
    yield "WorkingDir", config.working_dir
    yield "StopSignal", config.stop_signal
    for field, keys in (("Volumes", config.volumes), ("ExposedPorts", config.exposed_ports)):
        for key in keys:
            yield field, key
