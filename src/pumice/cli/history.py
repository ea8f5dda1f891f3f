"""``pumice history``: list how the layers of an image were made, with their sizes and packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.image.inventory import Inventory
    from pumice.image.model import Image

_MAX_TEXT = 45
_MAX_NAMES = 3


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an image's history; without a layer, ``digest`` is null and ``size`` is 0.

    ``layer`` counts from 1, the base first. ``size`` and ``unpacked`` are bytes: of the compressed layer, and
    of its files. ``packages`` are those with a file in the layer that the image shows, besides dpkg's lists.
    """

    layer: int | None
    digest: str | None
    created: str
    created_by: str
    comment: str
    size: int
    unpacked: int
    packages: tuple[str, ...]


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "history",
        "List the layers of an image, the newest first: how each was made, its size and its packages.",
        progress=False,
        epilog=f"{reading.REFERENCES}\nNothing in the image is executed.",
        examples=("pumice history example.com/hello:1.0",),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to examine")
    verb_parser.add_argument("--no-trunc", action="store_true", help="print texts and digests in full")
    results.add_format_options(verb_parser, "history", example="CreatedBy")
    reading.platform_option(verb_parser)
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image import inventory

    with reading.open_platform(options) as (image, home):
        entries = list(_list_entries(image, inventory.read_inventory(image, home.records)))[::-1]
    results.write_result(entries, options.format, lambda: _format_table(entries, in_full=options.no_trunc))
    return 0


def _list_entries(image: Image, image_inventory: Inventory) -> Iterator[HistoryEntry]:
    """Yield the entries, the oldest first; layers without an entry of their own come last."""
    from pumice.formats.oci import History
    from pumice.image.layer_scan import INFO_DIRECTORY

    packages: dict[int, dict[str, None]] = {}
    for file in image_inventory.files:
        if file.package and not file.path.startswith(INFO_DIRECTORY):
            packages.setdefault(file.layer, {})[file.package] = None
    layers = image.layers()
    entries = list(image.config().history)
    layer_count = sum(not entry.empty_layer for entry in entries)
    if layer_count > len(layers):  # the history does not match the layers, so it describes none of them
        entries, layer_count = [], 0
    entries += [History()] * (len(layers) - layer_count)
    number = 0
    for entry in entries:
        number += not entry.empty_layer
        layer = None if entry.empty_layer else layers[number - 1]
        yield HistoryEntry(
            layer=number if layer else None,
            digest=layer.descriptor.digest if layer else None,
            created=entry.created,
            created_by=entry.created_by,
            comment=entry.comment,
            size=layer.descriptor.size if layer else 0,
            unpacked=image_inventory.layer_sizes[number - 1] if layer else 0,
            packages=tuple(sorted(packages.get(number, ()))) if layer else (),
        )


def _format_table(entries: Sequence[HistoryEntry], *, in_full: bool) -> str:
    rows = [
        (
            _shorten_digest(entry.digest, in_full=in_full),
            entry.created[:10] or "-",
            _shorten(entry.created_by or entry.comment or "-", in_full=in_full),
            output.format_size(entry.size),
            _format_packages(entry.packages, in_full=in_full),
        )
        for entry in entries
    ]
    return output.format_table(("LAYER", "CREATED", "CREATED BY", "SIZE", "PACKAGES"), rows, right=(3,))


def _shorten_digest(digest: str | None, *, in_full: bool) -> str:
    if digest is None:
        return "-"
    return digest if in_full else digest[7:19]


def _shorten(text: str, *, in_full: bool) -> str:
    return text if in_full or len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."


def _format_packages(names: Sequence[str], *, in_full: bool) -> str:
    if in_full or len(names) <= _MAX_NAMES:
        return ", ".join(names) or "-"
    return f"{', '.join(names[:_MAX_NAMES])} and {len(names) - _MAX_NAMES} more"
