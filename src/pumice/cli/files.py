"""``pumice files``: what is in an image, from which package, with sizes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.image.inventory import FileFact, Inventory
    from pumice.image.model import Image

_EPILOG = """REF is name:version, a name with only one version, a digest or a prefix of it,
oci:DIR[:TAG] or oci-archive:FILE[:TAG]. For a multi-platform image, the
default is the platform of this machine. Additional names of a file (hard links) have no size."""
_NO_PACKAGE = "-"


def parser() -> Parser:
    """Return the parser of ``pumice files``."""
    parser = command_line.make_parser(
        "files",
        "List the files in an image with their packages and sizes.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice files example.com/hello:1.0",),
    )
    parser.add_argument("reference", metavar="REF", help="image to examine")
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="use the image for this platform, such as linux/arm64 (default: that of this machine)",
    )
    parser.add_argument(
        "--sort",
        choices=("path", "size", "package"),
        default=None,
        metavar="KEY",
        help="sort by path, size (largest first) or package (default: path)",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--tree", action="store_true", help="show directories as a tree, with the size below each"
    )
    shape.add_argument(
        "--by-package", action="store_true", help="show one line for each package, largest first"
    )
    results.add_format_options(parser, "files", default="text", example="Path", has_variants=True)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the files of an image."""
    options = parser().parse_args(arguments)
    result_format = results.check_template(
        options.format, "files by-package" if options.by_package else "files"
    )
    from pumice.image import inventory

    with reading.open_image(options) as (whole_image, home):
        image = _chosen(whole_image, options.platform)
        image_inventory = inventory.read_inventory(image, home.records)
    key = options.sort or ("size" if options.by_package else "path")
    if options.by_package:
        results.write_result(
            image_inventory.packages, result_format, lambda: _format_package_table(image_inventory, key)
        )
        return 0
    files = _sort_files(image_inventory.files, key)
    present = _format_tree if options.tree else _format_table
    results.write_result(
        [inventory.list_file(file) for file in files] if result_format.is_for_programs else (),
        result_format,
        lambda: present(image_inventory.files, key),
    )
    return 0


def _chosen(image: Image, platform: str | None) -> Image:
    from pumice.formats import platforms

    if platform:
        return image.select(platforms.parse_platform(platform))
    available = image.platforms()
    here = platforms.from_machine(os.uname().machine)
    if len(available) > 1 and platforms.choose_platform(available, here) is not None:
        return image.select(here)
    return image.select()


def _sort_files(files: Sequence[FileFact], key: str) -> Sequence[FileFact]:
    if key == "size":
        return sorted(files, key=lambda file: -file.size)
    if key == "package":
        return sorted(files, key=lambda file: (not file.package, file.package))
    return files


def _format_table(files: Sequence[FileFact], key: str) -> str:
    import stat

    kinds = {"dir": stat.S_IFDIR, "symlink": stat.S_IFLNK, "char": stat.S_IFCHR, "block": stat.S_IFBLK}
    kinds["fifo"] = stat.S_IFIFO
    rows = [
        (
            stat.filemode(file.mode | kinds.get(file.kind, stat.S_IFREG)),
            f"{file.uid}:{file.gid}",
            str(file.size),
            file.package or _NO_PACKAGE,
            _name(file),
        )
        for file in _sort_files(files, key)
    ]
    return output.format_table(("mode", "owner", "size", "package", "path"), rows, right=(2,))


def _name(file: FileFact) -> str:
    path = "/" + file.path
    return f"{_one_line(path)} -> {_one_line(file.link)}" if file.kind == "symlink" else _one_line(path)


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _format_package_table(image_inventory: Inventory, key: str) -> str:
    unowned = [file for file in image_inventory.files if not file.package and file.kind != "dir"]
    rows = [
        (package.name, package.version, package.files, package.size) for package in image_inventory.packages
    ]
    if unowned:
        rows.append((_NO_PACKAGE, "", len(unowned), sum(file.size for file in unowned)))
    rows.sort(
        key=(lambda row: (-row[3], row[0]))
        if key == "size"
        else (lambda row: (row[0] == _NO_PACKAGE, row[0]))
    )
    formatted_rows = [
        (name, version, str(count), output.format_size(size)) for name, version, count, size in rows
    ]
    total = ("total", "", str(sum(row[2] for row in rows)), output.format_size(sum(row[3] for row in rows)))
    return output.format_table(
        ("package", "version", "files", "size"), [*formatted_rows, total], right=(2, 3)
    )


def _format_tree(files: Sequence[FileFact], key: str) -> Iterator[str]:
    below = _sizes_below(files)
    children: dict[str, list[FileFact]] = {}
    for file in files[1:]:  # all but the root
        children.setdefault(_parent(file), []).append(file)
    if key == "size":
        for siblings in children.values():
            siblings.sort(key=lambda file: -below[file.path])
    elif key == "package":
        for siblings in children.values():
            siblings.sort(key=lambda file: (not file.package, file.package))
    width = len(output.format_size(999_900_000))
    yield f"{output.format_size(below['']):>{width}}  /"
    pending = [("", "", children.get("", []), 0)]
    while pending:
        path, indent, siblings, position = pending.pop()
        if position == len(siblings):
            continue
        file, is_last = siblings[position], position == len(siblings) - 1
        pending.append((path, indent, siblings, position + 1))
        pending.append((file.path, indent + ("    " if is_last else "│   "), children.get(file.path, []), 0))
        size = output.format_size(below[file.path]) if file.kind in ("file", "dir") else ""
        yield f"{size:>{width}}  {indent}{'└── ' if is_last else '├── '}{output.printable(_label(file))}"


def _sizes_below(files: Sequence[FileFact]) -> dict[str, int]:
    """Return the bytes of each path with all that is in it."""
    below = {file.path: file.size for file in files}
    for file in reversed(files[1:]):  # what is in a directory comes after it
        below[_parent(file)] += below[file.path]
    return below


def _parent(file: FileFact) -> str:
    return file.path.rpartition("/")[0]


def _label(file: FileFact) -> str:
    name = _one_line(file.path.rpartition("/")[2])
    if file.kind == "dir":
        return name + "/"
    if file.kind == "symlink":
        name += f" -> {_one_line(file.link)}"
    return f"{name}  ({file.package})" if file.package else name
