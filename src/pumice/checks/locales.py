"""Whether the locale of the environment exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage

_DIRECTORY = "/usr/lib/locale"
_ARCHIVE = f"{_DIRECTORY}/locale-archive"
_BUILT_IN = frozenset(("", "C", "POSIX"))


def check_locale(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for ``LC_ALL`` and ``LANG`` if the C library does not find their locale."""
    if image.entry("/etc/ld.so.cache") is None and image.entry("/lib/ld-musl-x86_64.so.1") is not None:
        return  # musl has its locales built in
    for name in ("LC_ALL", "LANG"):
        value = image.run.environment.get(name, "")
        if value in _BUILT_IN or _exists(image, value) or not _has_c_library(image):
            continue
        is_utf8_of_c = _normalize(value) == "C.utf8"
        yield Finding(
            check="locale",
            message=f"the locale {value!r} of {name} does not exist",
            hint="add libc-bin to 'packages'"
            if is_utf8_of_c
            else "use C.UTF-8, or add locales-all to 'packages'",
            key=f"environment.{name}",
        )


def _has_c_library(image: CheckedImage) -> bool:
    return "libc.so.6" in image.paths_by_name


def _exists(image: CheckedImage, value: str) -> bool:
    if image.entry(_ARCHIVE) is not None:
        return True  # its index is not read
    return any(image.tree.is_directory(f"{_DIRECTORY}/{name}") for name in (value, _normalize(value)))


def _normalize(value: str) -> str:
    """Return the directory name of a locale: ``en_US.UTF-8`` is in ``en_US.utf8`` (setlocale(3), glibc)."""
    language, dot, rest = value.partition(".")
    codeset, at, modifier = rest.partition("@")
    return f"{language}{dot}{''.join(filter(str.isalnum, codeset)).lower()}{at}{modifier}"
