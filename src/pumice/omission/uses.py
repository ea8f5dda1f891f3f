"""What the files of a package use of other packages: libraries, interpreters, programs and modules.

Only files that something in a container can read or start count. Scripts of init systems, cron and
package tools never do, and command names in compiled programs are chance.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.checks.programs import Script, parse_first_line
from pumice.formats import gzip
from pumice.formats.elf_program import read_program
from pumice.omission.script_uses import find_paths, normalize, read_script_uses
from pumice.packing.segments import DOC_DIRECTORY, DPKG_INFO_DIRECTORY
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.formats.tar import Entry
    from pumice.packing.segment_writer import SegmentItem
    from pumice.packing.segments import Segment
    from pumice.store.blobs import Blobs

    ReadAt = Callable[[int, int], bytes]

PROGRAM_DIRECTORIES = (
    *("usr/bin/", "usr/sbin/", "usr/games/", "usr/local/bin/", "usr/local/sbin/"),
    *("usr/libexec/", "usr/lib/git-core/", "usr/lib/cgi-bin/"),
    *(f"usr/lib/cups/{name}/" for name in ("backend", "cgi-bin", "driver", "filter", "notifier")),
    *("usr/lib/nagios/plugins/", "usr/share/munin/plugins/"),
)
"""Directories whose scripts people and programs start by name."""
_PROGRAM_DIRECTORY = re.compile(r"usr/(?:lib|share)/(?:[^/]+/)+s?bin/[^/]+")
"""Programs in directories of their own, such as those of PostgreSQL, R and Tomcat."""

_IGNORED_DIRECTORIES = (
    *(f"{DOC_DIRECTORY}/", f"{DPKG_INFO_DIRECTORY}/", "usr/share/man/", "usr/share/info/"),
    *("usr/share/locale/", "usr/share/zoneinfo/", "usr/include/", "usr/src/", "usr/share/lintian/"),
    *("etc/init.d/", "etc/rc", "etc/cron", "etc/logrotate.d/", "etc/network/", "etc/ppp/"),
    *("etc/resolvconf/", "etc/default/", "etc/apparmor.d/", "etc/init/", "etc/apt/", "etc/kernel/"),
    *("usr/lib/lsb/", "usr/lib/init/", "usr/lib/udev/", "usr/lib/tmpfiles.d/", "usr/lib/sysusers.d/"),
    *("usr/lib/systemd/", "etc/systemd/", "usr/lib/dpkg/", "usr/share/bug/", "usr/share/debconf/"),
    *("usr/share/bash-completion/", "usr/share/initramfs-tools/", "usr/share/base-files/"),
    *("usr/share/debhelper/", "usr/share/zsh/", "usr/share/fish/", "usr/share/apport/"),
)
"""Directories of files that nothing in a container reads or starts."""

_UNUSED = re.compile(r"select-editor|Config_heavy\.pl|.*\.(?:pc|h|mk|la|a)")
"""Names of files for builds and for questions at a terminal, which count nowhere."""
_HELPER = re.compile(
    r"update-.*|add-shell|remove-shell|c_rehash|py3compile|py3clean|debpython|deb-systemd-.*|dpkg-.*|dh_.*"
    r"|pam-auth-update|maintscripts-functions|sensible-.*|clean-up-unmanaged-libraries|cpan5\..*|instmodsh"
    r"|pg_buildext|mariadb-service-convert|tor-instance-create"
)
"""File names of helpers that only package tools and maintainers start."""

_SHELL = Script("/bin/sh")
"""What runs an executable text without ``#!`` in a directory of programs."""
_INTERPRETERS = {
    ".sh": _SHELL,
    ".py": Script("/usr/bin/python3"),
    ".pl": Script("/usr/bin/perl"),
    ".rb": Script("/usr/bin/ruby"),
    ".js": Script("/usr/bin/node"),
    ".php": Script("/usr/bin/php"),
}
"""What runs a file of the recipe without ``#!``, by its suffix."""
_LIBRARIES = re.compile(r"(?:^|/)(?:node_modules|site-packages|dist-packages)/")
"""Directories with very many files of others, whose scripts count only if they are executable."""
_COMMAND_SETTING = re.compile(
    r"^[ \t]*[\w.-]+[ \t]*[=:][ \t]*[\"']?([a-z][\w.+]*-[\w.+-]+)[\"']?[ \t]*$", re.MULTILINE
)
"""A setting whose value can only be a program, such as ``editor = sensible-editor``."""
_PATH_IN_PROGRAM = re.compile(rb"(?<![\w./$}~*:-])/(?:usr/)?(?:local/)?s?bin/[\w.+-]+(?=[\0 \"'\n;])")
_MAX_TEXT = 1 << 20
_MAX_ELF = 24 << 20
_CHUNK = 1 << 20
_BEFORE, _AFTER = 16, 80
"""Bytes before and after a ``bin/`` that can be parts of one path."""


class FileUses(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What a file uses. Paths have no slash in front, and are those of a merged ``/usr``.

    ``libraries`` are the sonames that it is linked with, ``dlopen`` those that it may load later.
    ``programs`` are paths, and names of commands without a slash. ``is_script``: it begins with ``#!``, so it
    counts only if something starts it. ``link`` is the target of a link.
    """

    path: str
    libraries: tuple[str, ...] = ()
    dlopen: tuple[str, ...] = ()
    interpreter: str = ""
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    is_script: bool = False
    link: str = ""


class PackageUses(msgspec.Struct, frozen=True):
    """What the files of a package use; files that use nothing are not listed."""

    files: tuple[FileUses, ...] = ()


def read_package_uses(segment: Segment, blobs: Blobs) -> PackageUses:
    """Return what the files of a package use, from its segment; raises FormatError if it is damaged."""
    read_plain = gzip.random_access_reader(
        lambda: blobs.open(segment.blob), segment.members, segment.tar_size
    )

    def read_item(item: SegmentItem) -> FileUses | None:
        return read_file_uses(item.entry, lambda offset, size: read_plain(item.offset + offset, size))

    return PackageUses(tuple(uses for uses in map(read_item, segment.items) if uses is not None))


def read_own_file_uses(entry: Entry, read_at: ReadAt) -> FileUses | None:
    """Return what a file of the recipe uses, None if it uses nothing that counts.

    A script counts even if it is not executable, because a command may pass it to its interpreter.
    """
    path = entry.path
    interpreter = _INTERPRETERS.get(posixpath.splitext(path)[1])
    if entry.kind != "file" or not 0 < entry.size <= _MAX_TEXT or _LIBRARIES.search(path):
        return read_file_uses(entry, read_at)
    head = read_at(0, min(entry.size, 256))
    if path.startswith(_IGNORED_DIRECTORIES) or b"\0" in head or not (interpreter or head.startswith(b"#!")):
        return read_file_uses(entry, read_at)
    script = parse_first_line(head) if head.startswith(b"#!") else interpreter
    return _read_script(path, read_at(0, entry.size).decode("utf-8", "replace"), script)


def read_file_uses(entry: Entry, read_at: ReadAt) -> FileUses | None:
    """Return what a file uses, None if it uses nothing that counts.

    ``read_at(offset, size)`` reads a part of it.
    """
    path = entry.path
    if is_ignored(path):
        return None
    if entry.kind in ("symlink", "hardlink"):
        return FileUses(path, link=_link_target(entry))
    if entry.kind != "file" or not entry.size or not _may_count(entry):
        return None
    head = read_at(0, min(entry.size, 256))
    if head.startswith(b"\x7fELF"):
        return None if is_helper(path) else _read_elf(path, entry.size, read_at)
    if entry.size > _MAX_TEXT or b"\0" in head:
        return None
    if entry.mode & 0o111 and (head.startswith(b"#!") or _is_program_path(path)):
        script = parse_first_line(head) if head.startswith(b"#!") else _SHELL
        return _read_script(path, read_at(0, entry.size).decode("utf-8", "replace"), script)
    if not path.startswith("etc/"):
        return None
    programs = _programs_in_settings(read_at(0, entry.size).decode("utf-8", "replace"))
    return FileUses(path, programs=programs) if programs else None


def is_ignored(path: str) -> bool:
    """Whether nothing in a container reads or starts the file at ``path``."""
    return path.startswith(_IGNORED_DIRECTORIES) or _UNUSED.fullmatch(posixpath.basename(path)) is not None


def is_helper(path: str) -> bool:
    """Whether a file counts only if something starts it, although it is in a directory of programs."""
    return _HELPER.fullmatch(posixpath.basename(path)) is not None


def is_started_by_name(path: str) -> bool:
    """Whether people and programs start the program at ``path``, so that it counts."""
    return _is_program_path(path) and not is_helper(path)


def _is_program_path(path: str) -> bool:
    return path.startswith(PROGRAM_DIRECTORIES) or _PROGRAM_DIRECTORY.fullmatch(path) is not None


def _may_count(entry: Entry) -> bool:
    """Whether a file can be a program, a library or a configuration file, by its name and mode alone."""
    return bool(entry.mode & 0o111) or ".so" in entry.path or entry.path.startswith("etc/")


def _link_target(entry: Entry) -> str:
    if entry.kind == "hardlink":
        return entry.link
    target = posixpath.normpath(posixpath.join("/", posixpath.dirname(entry.path), entry.link))
    return merged_usr_path(target.lstrip("/"))


def _read_elf(path: str, size: int, read_at: ReadAt) -> FileUses | None:
    program = read_program(read_at, size)
    if program is None:
        return None
    dlopen = tuple(name for note in program.dlopen for name in note.sonames)
    programs: set[str] = set()
    if size <= _MAX_ELF:
        programs = _paths_in_program(size, read_at)
    if not (program.needed or dlopen or programs or program.interpreter):
        return None
    return FileUses(
        path,
        libraries=tuple(posixpath.basename(name) for name in program.needed),
        dlopen=dlopen,
        interpreter=normalize(program.interpreter) if program.interpreter else "",
        programs=tuple(sorted(programs)),
    )


def _paths_in_program(size: int, read_at: ReadAt) -> set[str]:
    """Return the paths of programs that are strings in a file, which is read in chunks that overlap."""
    paths: set[str] = set()
    start = 0
    while start < size:
        data = read_at(start, min(_CHUNK, size - start))
        is_last = start + len(data) >= size
        first = _BEFORE if start else 0
        last = len(data) if is_last else len(data) - _AFTER
        paths.update(_find_paths(data, first, last))
        start = size if is_last else start + last - _BEFORE
    return paths


def _find_paths(data: bytes, first: int, last: int) -> Iterator[str]:
    """Yield the paths around each ``bin/`` in a range of ``data``; a regular expression alone is slow."""
    position = data.find(b"bin/", first)
    while 0 <= position < last:
        match = _PATH_IN_PROGRAM.search(data, max(position - 12, 0), position + _AFTER)
        if match is not None:
            yield normalize(match[0].decode())
        position = data.find(b"bin/", position + 4)


def _read_script(path: str, text: str, script: Script | None) -> FileUses | None:
    if script is None:
        return None
    uses = read_script_uses(text, script)
    return FileUses(
        path,
        interpreter=normalize(script.env_command or script.interpreter) if script is not _SHELL else "",
        programs=uses.programs,
        modules=uses.modules,
        is_script=True,
    )


def _programs_in_settings(text: str) -> tuple[str, ...]:
    """Return the paths below ``/usr`` in a configuration file, and values that can only be commands."""
    paths = [path for path in find_paths(text) if path.startswith("usr/")]
    return tuple(dict.fromkeys((*paths, *_COMMAND_SETTING.findall(text))))
