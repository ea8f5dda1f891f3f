"""Which package has a library, a program or a module, by the name that files use for it."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.packing.segments import Segment

_ALTERNATIVE = re.compile(rb"--(?:install|slave)\s+(/\S+)")
_PYTHON_MODULE = re.compile(
    r"usr/lib/(?:python3/dist-packages|python3\.[0-9]+|python3\.[0-9]+/lib-dynload)"
    r"/(\w+)(?=/__init__\.py$|\.py$|\.cpython-|\.abi3\.so$)"
)
_RUBY_MODULE = re.compile(r"usr/lib/(?:[^/]+/)?ruby/(?:[^/]+/){0,2}?([a-z]\w*(?:/\w+)*\.rb)")


class Providers:
    """The package of each library, program and module, by the name that files use."""

    def __init__(self, segments: Mapping[str, Segment]) -> None:
        self.by_path: dict[str, str] = {}
        self.by_soname: dict[str, str] = {}
        self.by_module: dict[str, str] = {}
        self._path_by_command: dict[str, str] = {}
        for name in sorted(segments, reverse=True):
            for item in segments[name].items:
                self._add_path(name, item.entry.path, is_program=bool(item.entry.mode & 0o111))
            for path in _alternative_links(segments[name]):
                self._add_path(name, path, is_program=True)

    def find_program(self, name: str) -> str | None:
        """Return the package of a program, by its path or by the name of a command."""
        return self.by_path.get(self.find_path(name))

    def find_path(self, name: str) -> str:
        """Return the path of a program, by its path or by the name of a command; empty if there is none."""
        return name if "/" in name else self._path_by_command.get(name, "")

    def _add_path(self, package: str, path: str, *, is_program: bool) -> None:
        name = posixpath.basename(path)
        self.by_path[path] = package
        if ".so" in name:
            self.by_soname[name] = package
        if is_program and path.startswith(("usr/bin/", "usr/sbin/", "usr/games/")):
            self._path_by_command[name] = path
        if path.endswith(".pm") and "/perl" in path:
            self.by_module[_module_of(path)] = package
        elif (match := _PYTHON_MODULE.match(path)) or (match := _RUBY_MODULE.fullmatch(path)):
            self.by_module[match[1]] = package


def _module_of(path: str) -> str:
    """Return the file of a Perl module below its directory: it begins with the first capital letter."""
    parts = path.split("/")
    start = next((number for number, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return "/".join(parts[start:])


def _alternative_links(segment: Segment) -> Sequence[str]:
    """Return the links that a package registers with update-alternatives(1)."""
    script = segment.facts.files.get("postinst", b"")
    return [link.decode("utf-8", "replace").lstrip("/") for link in _ALTERNATIVE.findall(script)]
