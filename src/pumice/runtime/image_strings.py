"""The one check of text that comes from an image before it takes part in starting a program.

JSON can hold every character, and so can a line of ``/etc/passwd``; paths, names and the kernel's
calls cannot. Text that passes here has no NUL, which ends a string for the kernel, and names have
no other control character either, which would begin a new line or field for whoever reads them.
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
        raise _refusal(text, field)
    return text


def check_script(text: str, field: str) -> str:
    """Return ``text`` as `check_name` does, but allow tabs, line ends and escapes: it is free text."""
    if not (_CONTROLS - _IN_SCRIPTS).isdisjoint(text):
        raise _refusal(text, field)
    return text


def _refusal(text: str, field: str) -> ImageError:
    return ImageError(
        f"the image's {field} contains a control character: {text[:100]!r}",
        hint="no tool writes that by accident: do not run this image, or ask its maker",
    )


def check_config(config: RunConfig) -> None:
    """Raise ImageError, naming the field, unless all that a config says about running is clean text."""
    for field, text in _names(config):
        check_name(text, field)
    for field, words in (("Entrypoint", config.entrypoint), ("Cmd", config.cmd)):
        for word in words:
            check_script(word, field)
    for line in config.env:
        name, _, value = line.partition("=")
        check_name(name, "Env")
        check_script(value, "Env")


def _names(config: RunConfig) -> Iterator[tuple[str, str]]:
    yield "User", config.user
    yield "WorkingDir", config.working_dir
    yield "StopSignal", config.stop_signal
    for field, keys in (("Volumes", config.volumes), ("ExposedPorts", config.exposed_ports)):
        for key in keys:
            yield field, key
