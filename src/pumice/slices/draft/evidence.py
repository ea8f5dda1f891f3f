"""What the files of a package need, read from the files: libraries, interpreters, modules, links."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.formats import gzip
from pumice.omission.script_uses import find_modules, find_paths
from pumice.omission.uses import read_file_uses
from pumice.packing.segments import content_reader
from pumice.slices.package_files import list_package_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.omission.uses import FileUses
    from pumice.packing.segments import Segment
    from pumice.slices.tree import PackageEntry
    from pumice.store.blobs import Blobs

_MODULE_SUFFIXES = {".py": "python", ".pm": "perl", ".pl": "perl", ".rb": "ruby"}
_LANGUAGE_DIRECTORY = re.compile(
    r"usr/(?:lib|share)/(?:[^/]+/)?(?:python3?|perl|perl5|perl-base|ruby)[^/]*/.*"
)
_ENV = re.compile(rb"#![ \t]*/usr/bin/env[ \t]")
_MAX_TEXT = 1 << 20


class DraftFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a package.

    ``path`` is that in the package, ``merged`` that of a merged ``/usr`` without a slash in front. ``link``
    is the target of a link, in the form of ``merged``. ``paths`` are those that a configuration file names.
    ``is_started_by_env``: env(1) looks for the interpreter of a script.
    """

    path: str
    merged: str
    kind: str
    size: int = 0
    is_executable: bool = False
    is_elf: bool = False
    libraries: tuple[str, ...] = ()
    dlopen: tuple[str, ...] = ()
    interpreter: str = ""
    is_started_by_env: bool = False
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    link: str = ""


class PackageEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A package and its files; ``directories`` are those that it ships, as paths in the package."""

    name: str
    version: str
    fields: dict[str, str]
    files: tuple[DraftFile, ...]
    directories: tuple[str, ...] = ()


def read_evidence(segment: Segment, blobs: Blobs, *, with_uses: bool = True) -> PackageEvidence:
    """Return the files of a package from a segment with all of them; raises FormatError if it is damaged.

    Without ``with_uses``, only the paths are read.
    """
    package = list_package_files(segment, "", content_reader(segment, blobs), merged_usr=False)
    offsets = {item.entry.path: item.offset for item in segment.items}
    read_plain = gzip.random_access_reader(
        lambda: blobs.open(segment.blob), segment.members, segment.tar_size
    )

    def reader(path: str) -> Callable[[int, int], bytes]:
        return lambda offset, size: read_plain(offsets[path] + offset, size)

    files = [
        _read_file(item, reader(item.source), with_uses=with_uses)
        for item in package.entries
        if item.entry.kind != "dir"
    ]
    return PackageEvidence(
        name=package.name,
        version=package.version,
        fields=segment.facts.fields,
        files=tuple(sorted(files, key=lambda file: file.path)),
        directories=tuple(sorted(item.path for item in package.entries if item.entry.kind == "dir")),
    )


def _read_file(item: PackageEntry, read_at: Callable[[int, int], bytes], *, with_uses: bool) -> DraftFile:
    entry = msgspec.structs.replace(item.entry, path=item.source)
    file = DraftFile(
        path=item.path,
        merged=item.source,
        kind=entry.kind,
        size=entry.size,
        is_executable=bool(entry.mode & 0o111),
    )
    if entry.kind in ("symlink", "hardlink"):
        uses = read_file_uses(entry, read_at)
        return msgspec.structs.replace(file, link=uses.link if uses else "")
    if not with_uses or entry.kind != "file" or not entry.size:
        return file
    is_elf = read_at(0, min(entry.size, 4)) == b"\x7fELF"
    file = msgspec.structs.replace(file, is_elf=is_elf)
    language = _MODULE_SUFFIXES.get(posixpath.splitext(item.source)[1])
    if language and entry.size <= _MAX_TEXT and _LANGUAGE_DIRECTORY.fullmatch(item.source):
        text = read_at(0, entry.size).decode("utf-8", "replace")
        return msgspec.structs.replace(file, modules=find_modules(text, language))
    uses = read_file_uses(entry, read_at)
    if uses is not None:
        file = _with_uses(file, uses)
        is_started_by_env = _ENV.match(read_at(0, min(entry.size, 64))) is not None
        file = msgspec.structs.replace(file, is_started_by_env=is_started_by_env)
    if item.source.startswith("etc/") and not is_elf and entry.size <= _MAX_TEXT:
        text = read_at(0, entry.size).decode("utf-8", "replace")
        settings = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
        file = msgspec.structs.replace(file, paths=tuple(find_paths(settings)))
    return file


def _with_uses(file: DraftFile, uses: FileUses) -> DraftFile:
    return msgspec.structs.replace(
        file,
        libraries=uses.libraries,
        dlopen=uses.dlopen,
        interpreter=uses.interpreter,
        programs=uses.programs,
        modules=uses.modules,
    )
