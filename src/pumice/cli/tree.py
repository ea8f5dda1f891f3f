"""``pumice tree``: an image with its platforms and layers, and what is attached to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.image_access.artifact_kinds import describe_artifact
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image

_EPILOG = """REF is name:version, a name with only one version, a digest or a prefix of it,
oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://HOST/NAME[:TAG].
Signatures are listed but not verified."""
_DEEPEST = 6


class Branch(msgspec.Struct, frozen=True):
    """One line of the tree; ``size`` is the bytes of the blob.

    ``below`` are the blobs that it consists of, and the artifacts that are attached to it.
    """

    what: str
    digest: str
    size: int
    note: str = ""
    below: tuple[Branch, ...] = ()


def parser() -> Parser:
    """Return the parser of ``pumice tree``."""
    parser = command_line.make_parser(
        "tree",
        "Show the platforms and layers of an image as a tree, with the artifacts attached to each.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice tree example.com/hello:1.0",),
    )
    parser.add_argument("reference", metavar="REF", help="image to examine")
    results.add_format_options(parser, "tree", default="text")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the tree of an image."""
    options = parser().parse_args(arguments)
    with reading.open_image(options) as (image, _):
        root = _read_branch(image, image.root, 0)
    results.write_result(root, options.format, lambda: map(output.printable, _format_tree(root)))
    return 0


def _read_branch(image: Image, descriptor: Descriptor, depth: int) -> Branch:
    from pumice.errors import FormatError
    from pumice.formats import oci, platforms

    if depth > _DEEPEST:
        raise FormatError("the image's documents are nested too deep", where=descriptor.digest)
    data = image.document(descriptor)
    below: list[Branch] = []
    if oci.is_index(data, descriptor.media_type):
        index = oci.read_index(data)
        what = f"index {index.artifact_type}".rstrip()
        below += [
            _read_branch(image, child, depth + 1)
            if oci.is_document(child)
            else Branch(f"content {child.media_type}", child.digest, child.size)
            for child in index.manifests
        ]
    else:
        manifest = oci.read_manifest(data)
        config = None if _is_artifact(manifest) else _read_config(image, manifest)
        platform = descriptor.platform or (
            config and oci.Platform(config.architecture, config.os, config.variant)
        )
        is_artifact = config is None
        what = (
            describe_artifact(manifest)
            if is_artifact or not platform
            else platforms.format_platform(platform)
        )
        titles = _layer_titles(config) if config else []
        for number, layer in enumerate(manifest.layers):
            note = titles[number] if len(titles) == len(manifest.layers) else ""
            below.append(Branch("content" if is_artifact else "layer", layer.digest, layer.size, note))
    below += [_read_branch(image, referrer, depth + 1) for referrer in image.referrers(descriptor.digest)]
    return Branch(what, descriptor.digest, descriptor.size, "", tuple(below))


def _is_artifact(manifest: oci.Manifest) -> bool:
    """Whether a manifest is not an image: it has an artifact type, a subject, or another kind of config."""
    from pumice.formats import oci

    return bool(manifest.artifact_type or manifest.subject) or manifest.config.media_type not in oci.CONFIGS


def _read_config(image: Image, manifest: oci.Manifest) -> oci.ImageConfig | None:
    """Return the config; None for one that only has the type of an image's, as some artifacts do."""
    from pumice.formats import oci

    data = image.document(manifest.config)
    return oci.read_config(data) if oci.is_image_config(data) else None


def _layer_titles(config: oci.ImageConfig) -> list[str]:
    return [(entry.created_by or entry.comment)[:60] for entry in config.history if not entry.empty_layer]


def _format_tree(root: Branch) -> Iterator[str]:
    yield _format_line(root)
    pending = [("", root.below, 0)]
    while pending:
        indent, siblings, position = pending.pop()
        if position == len(siblings):
            continue
        is_last = position == len(siblings) - 1
        pending.append((indent, siblings, position + 1))
        yield f"{indent}{'└── ' if is_last else '├── '}{_format_line(siblings[position])}"
        pending.append((indent + ("    " if is_last else "│   "), siblings[position].below, 0))


def _format_line(branch: Branch) -> str:
    note = f"  {branch.note}".replace("\n", " ") if branch.note else ""
    return f"{branch.what}  {branch.digest[:19]}  {output.format_size(branch.size)}{note}"


if TYPE_CHECKING:
    from pumice.formats import oci
