"""The summary at the end of the commands that copy images: push, pull, copy, load and save."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display.output import format_size
from pumice.cli.display.summaries import Row, Summary, format_seconds
from pumice.cli.image_access.artifact_kinds import describe_artifact, is_signature
from pumice.errors import FormatError
from pumice.formats import oci, platforms
from pumice.image.transports.locations import STDOUT, Counts
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.cli.image_access.image_copy import CopiedImage
    from pumice.image.graph import Graph
    from pumice.image.transports.locations import Location

_MAX_KINDS = 8
_MAX_KIND = 80
_SENT = {"pushed": "sent", "pulled": "fetched", "loaded": "loaded"}
"""What the commands call the blobs that were not at the destination; others say ``copied``."""


class TransferResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a command copied. ``verb`` is the participle of the command, which names its event too."""

    verb: str
    images: tuple[str, ...]
    digests: tuple[str, ...]
    destination: str = ""
    source: str = ""
    platforms: tuple[str, ...]
    counts: Counts = Counts()
    artifacts: tuple[str, ...] = ()
    """The kind of each attached artifact."""
    signed: str = ""
    """By what the image was signed or verified, empty for none."""
    seconds: float
    next_command: str = ""


def describe_copy(
    verb: str, copied: Sequence[CopiedImage], seconds: float, *, signed: str = ""
) -> TransferResult:
    """Return the result of copying one image or several; ``signed`` says who has just signed it."""
    first = copied[0]
    graphs = [image.gathered.graph for image in copied]
    is_stored = first.destination.address.transport.is_store
    names = tuple(_format_location(image.destination, image.version) for image in copied)
    source = _format_location(first.source, first.version)
    destination = _format_location(first.destination, first.version)
    if not signed and all(image.is_verified for image in copied):
        signed = "by a trusted key"
    platform_names = unite(image.platforms for image in copied)
    artifacts = tuple(kind for graph in graphs for kind in list_artifacts(graph))
    return TransferResult(
        verb=verb,
        images=names if verb == "loaded" else (source,),
        digests=tuple(image.digest for image in copied),
        source=first.source.address.path if verb == "loaded" else "",
        destination="" if verb == "loaded" else destination,
        platforms=platform_names,
        counts=_add_counts([image.counts for image in copied]),
        artifacts=artifacts,
        signed=signed,
        seconds=seconds,
        next_command=_next_command(
            first, destination, platform_names, is_stored=is_stored, is_signed=_is_signed(signed, artifacts)
        ),
    )


def _is_signed(signed: str, artifacts: Sequence[str]) -> bool:
    return bool(signed) or any(map(is_signature, artifacts))


def _format_location(location: Location, version: str) -> str:
    """Return a location as commands accept it; the store is not mentioned."""
    from pumice.image.transports.locations import STORE

    transport = location.address.transport
    text = (
        location.describe(version).text
        if transport.is_store or transport.is_registry
        else str(location.address)
    )
    return text.removeprefix(STORE.scheme)


def _next_command(
    copied: CopiedImage, destination: str, names: Sequence[str], *, is_stored: bool, is_signed: bool
) -> str:
    transport = copied.destination.address.transport
    if is_stored:
        machine = platforms.from_machine(os.uname().machine)
        can_run = any(platforms.matches(platforms.parse_platform(name), machine) for name in names)
        return f"pumice {'run' if can_run else 'inspect'} {destination}"
    if transport.is_registry:
        return f"pumice verify {destination}" if is_signed else f"pumice sign {destination} --key KEY"
    is_readable = transport.is_readable and copied.destination.address.path != STDOUT
    return f"pumice inspect {destination}" if is_readable else ""


def list_artifacts(graph: Graph) -> list[str]:
    """Return the kind of each artifact that is attached to the image."""
    kinds = []
    for node in graph.list_referrers():
        try:
            if not oci.is_index(node.data, node.descriptor.media_type):
                kinds.append(describe_artifact(oci.read_manifest(node.data))[:_MAX_KIND])
        except FormatError:  # only images are checked
            kinds.append("artifact")
    return kinds


def unite(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the items of several lists, each once."""
    return tuple(dict.fromkeys(name for names in lists for name in names))


def _add_counts(counts: Sequence[Counts]) -> Counts:
    return Counts(
        *(
            sum(getattr(count, name) for count in counts)
            for name in ("sent", "present", "mounted", "sent_size")
        )
    )


def summarize(result: TransferResult) -> Summary:
    """Return the summary of a copy."""
    what = result.images[0] if len(result.images) == 1 else format_count(len(result.images), "image")
    return Summary(
        event=result.verb,
        headline=f"{result.verb} {what} in {format_seconds(result.seconds)}",
        rows=tuple(_rows(result)),
        data={
            "images": list(result.images),
            "digests": list(result.digests),
            "source": result.source,
            "destination": result.destination,
            "platforms": list(result.platforms),
            "sent": result.counts.sent,
            "sent_size": result.counts.sent_size,
            "present": result.counts.present,
            "mounted": result.counts.mounted,
            "artifacts": list(result.artifacts),
            "signed": result.signed,
            "seconds": round(result.seconds, 3),
            "next": result.next_command,
        },
    )


def _rows(result: TransferResult) -> Iterator[Row]:
    if len(result.images) > 1:
        yield Row("images", ", ".join(result.images))
    if result.source:
        yield Row("from", result.source)
    if result.destination:
        yield Row("to", result.destination)
    if result.platforms:
        yield Row("platforms" if len(result.platforms) > 1 else "platform", ", ".join(result.platforms))
    blobs = _format_counts(result.verb, result.counts)
    if blobs and result.verb != "tagged":
        yield Row("blobs", blobs)
    if result.artifacts:
        yield Row("attached", _format_artifacts(result.artifacts))
    yield _signature_row(result)
    if result.next_command:
        yield Row("next", result.next_command, "command")


def _format_counts(verb: str, counts: Counts) -> str:
    parts = []
    if counts.sent:
        parts.append(f"{counts.sent} {_SENT.get(verb, 'copied')} ({format_size(counts.sent_size)})")
    if counts.present:
        parts.append(f"{counts.present} already present")
    if counts.mounted:
        parts.append(f"{counts.mounted} mounted")
    return ", ".join(parts)


def _format_artifacts(kinds: Sequence[str]) -> str:
    by_kind = Counter(kinds).most_common()
    texts = [kind if count == 1 else f"{count} x {kind}" for kind, count in sorted(by_kind[:_MAX_KINDS])]
    hidden = len(by_kind) - _MAX_KINDS
    rest = f", and {format_count(hidden, 'more kind')}" if hidden > 0 else ""
    return f"{format_count(len(kinds), 'artifact')}: {', '.join(texts)}{rest}"


def _signature_row(result: TransferResult) -> Row:
    if result.signed:
        return Row("signed", result.signed, "good")
    if any(map(is_signature, result.artifacts)):
        return Row("signed", "yes, not verified")
    return Row("signed", "no")
