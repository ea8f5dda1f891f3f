"""The files, packages and users of an image, read without running anything in it.

The packages are those of the image's own dpkg database (or of ``status.d``, as in distroless
images); a file belongs to the package whose ``.list`` names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.formats import deb822
from pumice.image import layer_scan
from pumice.image.flatten import VisibleEntry, flatten
from pumice.packing.tree import Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.image.layer_scan import LayerScan
    from pumice.image.model import Image
    from pumice.image.stat_cache import Records


class FileFact(msgspec.Struct, frozen=True, kw_only=True):
    """One path of an image.

    ``size`` is in bytes, 0 for the other names of a file that is already counted (hard links).
    ``layer`` counts from 1, base first; 0 is an implied directory. ``package`` is empty
    for files of no package, and for directories, which belong to many.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    layer: int
    package: str = ""
    link: str = ""
    capabilities: bool = False


class ListedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A path of an image as commands show it: absolute, with its mode in octal, such as ``0755``.

    ``size`` is bytes, 0 for further names of a file (hard links), whose first name is ``link``; ``link`` of a
    symbolic link is its target. ``layer`` counts from 1, the base first; 0 is an implied directory.
    ``package`` is empty for directories and files of no package.
    """

    path: str
    kind: str
    mode: str
    uid: int
    gid: int
    size: int
    layer: int
    package: str
    link: str
    capabilities: bool


def list_file(file: FileFact) -> ListedFile:
    """Return a path of an image as commands show it."""
    return ListedFile(
        path=f"/{file.path}",
        kind=file.kind,
        mode=f"{file.mode:04o}",
        uid=file.uid,
        gid=file.gid,
        size=file.size,
        layer=file.layer,
        package=file.package,
        link=f"/{file.link}" if file.kind == "file" and file.link else file.link,
        capabilities=file.capabilities,
    )


class PackageFact(msgspec.Struct, frozen=True, kw_only=True):
    """One installed package; ``size`` is the size in bytes of its visible files."""

    name: str
    version: str
    architecture: str
    source: str
    files: int = 0
    size: int = 0


class User(msgspec.Struct, frozen=True):
    """A line of ``/etc/passwd`` or ``/etc/group``."""

    name: str
    id: int


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the image of one platform. Files are in the order of a tree walk."""

    files: tuple[FileFact, ...]
    packages: tuple[PackageFact, ...]
    users: tuple[User, ...]
    groups: tuple[User, ...]
    release: str
    """``PRETTY_NAME`` of os-release."""
    layer_sizes: tuple[int, ...]
    """Bytes of the files in each layer, including those that a later layer hides."""

    @property
    def size(self) -> int:
        """Bytes of all visible files."""
        return sum(file.size for file in self.files)


def read_inventory(image: Image, records: Records | None = None) -> Inventory:
    """Return the inventory of an image of one platform.

    With ``records`` (``Home.records``) each layer is read only once. Raises the errors of reading
    the layers, and FormatError for a malformed package database.
    """
    return make_inventory([layer_scan.scan_layer(layer, records) for layer in image.layers()])


def make_inventory(layers: Sequence[LayerScan]) -> Inventory:
    """Return the inventory of an image from the scans of its layers, the base first."""
    tree = flatten(layer.entries for layer in layers)
    texts = _VisibleTexts(tree, layers)
    packages = _read_packages(texts)
    owners = _find_owners(texts, tree)
    files = _list_files(tree, owners)
    return Inventory(
        files=files,
        packages=_measure_packages(packages, files),
        users=_parse_users(texts.get("etc/passwd")),
        groups=_parse_users(texts.get("etc/group")),
        release=_read_release(texts),
        layer_sizes=tuple(layer.unpacked for layer in layers),
    )


class _VisibleTexts:
    """The contents of visible files that describe the image."""

    def __init__(self, tree: dict[str, VisibleEntry], layers: Sequence[LayerScan]) -> None:
        self._texts: dict[str, bytes] = {}
        for path in sorted(path for path in tree if layer_scan.describes_image(path)):
            visible_entry = tree[path]
            text = (
                layers[visible_entry.origin.layer].texts.get(visible_entry.entry.path)
                if visible_entry.origin.layer >= 0
                else None
            )
            if text is not None and visible_entry.entry.kind == "file":
                self._texts[path] = text

    def get(self, path: str) -> bytes:
        return self._texts.get(path, b"")

    def read_folder(self, folder: str, ending: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield name and content of the files in ``folder`` (with its final slash)."""
        for path, text in self._texts.items():
            if path.startswith(folder) and path.endswith(ending):
                yield path[len(folder) : len(path) - len(ending)], text


def _read_packages(texts: _VisibleTexts) -> list[PackageFact]:
    paragraphs = [(layer_scan.STATUS, texts.get(layer_scan.STATUS))]
    paragraphs += [
        (layer_scan.STATUS_DIRECTORY + name, text)
        for name, text in texts.read_folder(layer_scan.STATUS_DIRECTORY)
        if not name.endswith(".md5sums")
    ]
    packages: dict[tuple[str, str], PackageFact] = {}
    for where, text in paragraphs:
        for fields in deb822.read_paragraphs(text, latin1=True, where=where):
            package = _parse_package(fields, where)
            if package is not None:
                packages.setdefault((package.name, package.architecture), package)
    return [packages[key] for key in sorted(packages)]


def _parse_package(fields: dict[str, str], where: str) -> PackageFact | None:
    """Read one stanza; None for a package that is no longer installed."""
    name, version = fields.get("Package", ""), fields.get("Version", "")
    if "Status" in fields and not fields["Status"].endswith(" installed"):
        return None
    if not name or not version:
        raise FormatError("a package of the image has no name or no version", where=where)
    source = fields.get("Source", name).split(" ", 1)[0]
    return PackageFact(name=name, version=version, architecture=fields.get("Architecture", ""), source=source)


def _find_owners(texts: _VisibleTexts, merged_tree: dict[str, VisibleEntry]) -> dict[str, str]:
    """Return the package that each path belongs to.

    The lists have the paths of the packages (``/lib/x``), which differ from those of a merged ``/usr``.
    """
    tree = Tree(
        {path: Node(visible_entry.entry) for path, visible_entry in merged_tree.items()}, _refuse_reading
    )
    folders: dict[str, str | None] = {}
    owners = _find_database_files(texts, merged_tree)
    for package, paths in _read_file_lists(texts):
        # A path with other paths below it is a directory in the package, and may be a link in a merged /usr.
        parent_paths = {path.rpartition("/")[0] for path in paths}
        for path in paths:
            folder, _, name = path.rpartition("/")
            if path in parent_paths:
                continue
            if folder not in folders:
                folders[folder] = tree.resolve(folder)
            resolved = folders[folder]
            real_path = f"{resolved}/{name}" if resolved else name
            visible_entry = merged_tree.get(real_path) if resolved is not None else None
            if visible_entry is not None and visible_entry.entry.kind != "dir":
                owners[real_path] = package
    return owners


def _find_database_files(texts: _VisibleTexts, tree: dict[str, VisibleEntry]) -> dict[str, str]:
    """Return the files in the database of dpkg that belong to one package, with its name."""
    package_names = {
        name.split(":", 1)[0] for name, _ in texts.read_folder(layer_scan.INFO_DIRECTORY, ".list")
    }
    owners: dict[str, str] = {}
    for path in tree:
        if path.startswith(layer_scan.INFO_DIRECTORY):
            name = path[len(layer_scan.INFO_DIRECTORY) :].rpartition(".")[0].split(":", 1)[0]
            if name in package_names:
                owners[path] = name
    return owners


def _read_file_lists(texts: _VisibleTexts) -> Iterator[tuple[str, list[str]]]:
    """Yield each package with the paths in its file list, without slashes at their ends."""
    for name, text in texts.read_folder(layer_scan.INFO_DIRECTORY, ".list"):
        lines = text.decode("utf-8", "surrogateescape").split("\n")
        yield name.split(":", 1)[0], [line.strip("/") for line in lines if line not in ("", "/.")]
    for name, text in texts.read_folder(layer_scan.STATUS_DIRECTORY, ".md5sums"):
        lines = text.decode("utf-8", "surrogateescape").split("\n")
        yield name, [line[34:].removeprefix("./").strip("/") for line in lines if len(line) > 34]


def _refuse_reading(path: str) -> bytes:
    raise KeyError(path)


def _list_files(tree: dict[str, VisibleEntry], owners: dict[str, str]) -> tuple[FileFact, ...]:
    counted: set[tuple[int, int]] = set()
    facts: list[FileFact] = []
    for path, (entry, origin) in tree.items():
        is_counted = entry.kind == "file" and origin in counted
        counted.add(origin)
        facts.append(
            FileFact(
                path=path,
                kind=entry.kind,
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                size=0 if is_counted else entry.size,
                layer=origin.layer + 1,
                package=owners.get(path, ""),
                link=entry.path if is_counted else entry.link,
                capabilities="security.capability" in entry.xattrs,
            )
        )
    return tuple(facts)


def _measure_packages(packages: Sequence[PackageFact], files: Sequence[FileFact]) -> tuple[PackageFact, ...]:
    count: dict[str, int] = {}
    size: dict[str, int] = {}
    for file in files:
        if file.package:
            count[file.package] = count.get(file.package, 0) + 1
            size[file.package] = size.get(file.package, 0) + file.size
    return tuple(
        msgspec.structs.replace(package, files=count.get(package.name, 0), size=size.get(package.name, 0))
        for package in packages
    )


def _parse_users(text: bytes) -> tuple[User, ...]:
    users = []
    for line in text.decode("utf-8", "replace").split("\n"):
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) < 11:
            users.append(User(fields[0], int(fields[2])))
    return tuple(users)


def _read_release(texts: _VisibleTexts) -> str:
    for path in layer_scan.RELEASES:
        for line in texts.get(path).decode("utf-8", "replace").split("\n"):
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")[:200]
    return ""
