"""``pumice tag``: give an image another name in the store, or another tag in a registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.image.transports.locations import Location
    from pumice.registry.reference import Reference

_EPILOG = """In the store, NAME is name[:version] (default version: latest), and no blob is copied. In a
registry, REF is docker://HOST/NAME[:TAG][@DIGEST], and NAME is a tag of the same repository; the
manifest is written under it, and no blob is sent. To copy an image to another repository, use
'pumice copy'."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "tag",
        "Add names to an image in the store, or tags to an image in a registry.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice tag example.com/hello:1.0 example.com/hello:latest",),
    )
    verb_parser.add_argument("reference", metavar="REF", help="image to name")
    verb_parser.add_argument("names", metavar="NAME", nargs="+", help="new name, or tag in a registry")
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import references
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        location = references.find_source(options.reference, home, "store")
    transport = location.address.transport
    if transport.is_registry:
        _tag_in_registry(options)
    elif transport.is_store:
        _tag_in_store(location, options.names)
    else:
        raise UsageError(
            f"cannot add a name to an image in {transport.scheme}",
            where=options.reference[:200],
            hint="copy it with 'pumice copy', with the new name as destination",
        )
    return 0


def _tag_in_store(location: Location, texts: Sequence[str]) -> None:
    from pumice.store.home import Home, locate

    names = [_parse_store_name(text) for text in texts]
    with Home(locate(os.environ)) as home, registries.access(home) as access:
        image = location.open(access).image
        for name in names:
            home.refs.set(name, image.root)


def _parse_store_name(text: str) -> str:
    from pumice.image.transports.locations import REGISTRY, STORE, TRANSPORTS
    from pumice.image.transports.store import check_name

    text = text.removeprefix(STORE.scheme)
    if text.startswith(tuple(transport.scheme for transport in TRANSPORTS)):
        # No command could find an image of this name, because the name reads as a location.
        is_registry = text.startswith(REGISTRY.scheme)
        raise UsageError(
            f"cannot name an image in the store {text[:200]!r}",
            hint=f"use 'pumice {'push REF HOST/NAME:TAG' if is_registry else 'copy REF LOCATION'}'",
        )
    name, colon, version = text.rpartition(":")
    if not colon or "/" in version:
        name, version = text, "latest"
    check_name(f"{name}:{version}", text)
    return f"{name}:{version}"


def _tag_in_registry(options: argparse.Namespace) -> None:
    from pumice.registry.reference import parse_reference

    reference = parse_reference(options.reference)
    targets = [_parse_registry_tag(text, reference) for text in options.names]
    with registries.client(options, progress_modes.make_progress("none")) as client:
        manifest = client.get_manifest(reference)
        for target in targets:
            client.put_manifest(target, manifest.data, manifest.media_type)


def _parse_registry_tag(text: str, reference: Reference) -> Reference:
    """Return the reference of a tag of the same repository, which may be written in full."""
    from pumice.registry.reference import SCHEME, parse_reference

    if "/" not in text and ":" not in text:
        return reference.repository.with_tag(text)
    target = parse_reference(text)
    if target.repository != reference.repository or target.digest:
        raise UsageError(
            f"{text[:200]!r} is not a tag of {reference.repository}",
            hint=f"copy the image: pumice copy {SCHEME}{reference} {SCHEME}{target}",
        )
    return target
