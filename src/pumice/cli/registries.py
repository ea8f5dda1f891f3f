"""What commands that talk to registries have in common: options, a client, and ``docker://`` as REF."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pumice.cli import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.image.model import Image
    from pumice.image.transports.attachment import Place
    from pumice.image.transports.copying import Counts
    from pumice.image.transports.places import Target
    from pumice.progress import Progress
    from pumice.registry.client import Client, Settings
    from pumice.store.home import Home

SCHEME = "docker://"


def options(made: argparse.ArgumentParser) -> None:
    """Add the options that say how a registry is reached."""
    made.add_argument(
        "--plain-http", action="store_true", help="ask the registry without TLS; no login is sent then"
    )
    made.add_argument("--ca", metavar="FILE", default="", help="trust these authorities (PEM), and no others")
    made.add_argument(
        "--cert", metavar="FILE", default="", help="identify ourselves with this certificate (PEM)"
    )
    made.add_argument("--key", metavar="FILE", default="", help="the key of --cert, if it is not in it")


def graph_options(made: argparse.ArgumentParser) -> None:
    """Add the options that say how much of an image is meant."""
    made.add_argument(
        "--only-image",
        action="store_true",
        help="leave signatures, SBOMs, attestations and other referrers where they are",
    )
    made.add_argument("--platform", metavar="PLATFORM", help="one platform only, such as linux/arm64")


def store_options(made: argparse.ArgumentParser) -> None:
    """Add the options that say which images may enter the store."""
    made.add_argument(
        "--as", dest="signed_as", default="", metavar="NAME", help="what the image must be signed as"
    )
    command_line.admission_options(made, "let it in")


def reached(asked: argparse.Namespace | None) -> Settings:
    """Return how registries are reached: as `options` say, before what the configuration does."""
    from pumice.registry import sites
    from pumice.registry.client import Settings
    from pumice.registry.transport import Tls

    known = sites.load(os.environ)
    if asked is None:
        return Settings(sites=known)
    return Settings(plain_http=asked.plain_http, tls=Tls(asked.ca, asked.cert, asked.key), sites=known)


@contextmanager
def client(asked: argparse.Namespace | None, progress: Progress) -> Iterator[Client]:
    """Give a client with the machine's logins; ``asked`` has the values of `options`."""
    from pumice.registry.client import Client
    from pumice.registry.credentials import AuthFiles

    settings = reached(asked)
    with Client(AuthFiles(os.environ), settings, progress=progress) as made:
        yield made


def signed_as(reference: str) -> list[str]:
    """Return what an image of a registry is asked for as, ``HOST/REPO:TAG``; nothing for any other REF."""
    if not reference.startswith(SCHEME):
        return []
    from pumice.registry.reference import parse

    asked = parse(reference.removeprefix(SCHEME))
    return [] if asked.digest else [f"{asked.repository}:{asked.tag}"]


@contextmanager
def found(
    text: str, home: Home, progress: Progress | None = None, asked: argparse.Namespace | None = None
) -> Iterator[Image]:
    """Give the image that a REF names, which may be in a registry; ``asked`` is as for `client`."""
    if not text.startswith(SCHEME):
        from pumice.image.transports import reference

        yield reference.find(text, home)
        return
    from pumice.image.transports import places
    from pumice.progress import Silent

    with client(asked, progress or Silent()) as made:
        yield places.find(text, home, made)


def place(text: str, image: Image, home: Home) -> Place:
    """Return where signatures of the image that a REF named are put; raises UsageError if nowhere."""
    from pumice.image.transports import attachment
    from pumice.image.transports.sources import RegistryBlobs

    if isinstance(image.blobs, RegistryBlobs):
        from pumice.image.transports.registry_attachment import RegistryPlace

        return RegistryPlace(image.blobs.client, image.blobs.repository)
    return attachment.of(text, image, home)


class Moved(NamedTuple):
    """An image that was copied: its digest, and where it is now."""

    digest: str
    to: Target


def transfer(asked: argparse.Namespace, source: str, target: str, progress: Progress) -> Moved:
    """Copy an image with what belongs to it, as `graph_options` say; return where it is.

    Into the store only with a signature that counts, as `store_options` say. Raises PumiceError.
    """
    import sys

    from pumice.formats import platforms
    from pumice.image.transports import places
    from pumice.store.home import Home, locate

    platform = platforms.parse_platform(asked.platform) if asked.platform else None
    with Home(locate(os.environ), progress=progress) as home, client(asked, progress) as made:
        places.target(target)  # what makes no sense is said before anything is asked
        image = places.locate(source, home, made)
        to = places.target(target, image.version)
        if to.store and not image.in_store:
            _admit(asked, source, image.image, home, progress)
        gathered = places.collect(image, whole=not asked.only_image, platform=platform)
        counts = places.deliver(
            gathered, image, to, client=made, home=home, progress=progress, stdout=sys.stdout.buffer
        )
    progress.note(said(counts, gathered.beside()))
    return Moved(gathered.root.digest, to)


def _admit(asked: argparse.Namespace, source: str, image: Image, home: Home, progress: Progress) -> None:
    """Refuse what is not signed before any layer of it is fetched."""
    from pumice.trust import admission

    admission.admit(
        image,
        "pull",
        home,
        admission.AdmissionRequest(reference=source, name=asked.signed_as, allow_older=asked.allow_older),
        environ=os.environ,
        progress=progress,
        insecure="image" in asked.insecure_options,
    )


def said(counts: Counts, beside: int) -> str:
    """Return what a copy did, as a sentence."""
    parts = [f"{counts.sent} blobs copied"]
    parts += [f"{counts.present} there already"] if counts.present else []
    parts += [f"{counts.mounted} mounted"] if counts.mounted else []
    parts += [f"{beside} signatures and referrers along"] if beside else []
    return ", ".join(parts)
