"""``pumice publish --oci``: publish images as a static OCI registry."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.image_access import registries
from pumice.cli.parsing import numbers
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.cli.display.presenters import Quiet
    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.image.transports.locations import Access
    from pumice.publish.oci_tree import PublishedImage
    from pumice.publish.tree import Tree
    from pumice.publish.unreferenced import Removed
    from pumice.store.home import Home

HOUR = 3600


def add_options(parser: OptionGroup) -> None:
    """Add the options of ``--oci`` that ``--appc`` does not have."""
    parser.add_argument(
        "--name",
        metavar="NAME[:TAG]",
        help="repository and tag of the image (default: its own name, without the host)",
    )


def add_prune_options(parser: OptionGroup) -> None:
    """Add the options that remove images."""
    parser.add_argument(
        "--untag",
        metavar="NAME:TAG",
        action="append",
        default=[],
        help="remove a tag, or a version (repeatable)",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove content that no tag or version has needed during the grace period",
    )
    parser.add_argument(
        "--grace-period",
        type=numbers.whole_number(100_000, "hours"),
        default=24,
        metavar="HOURS",
        help="with --prune: keep unneeded content for HOURS hours (default: 24)",
    )


def add_torrent_options(parser: OptionGroup) -> None:
    """Add the options that make torrents."""
    parser.add_argument(
        "--torrent",
        action="store_true",
        help="make torrents of large blobs, so that those who download share them; needs --url",
    )
    parser.add_argument(
        "--torrent-v2",
        action="store_true",
        help="make torrents of version 2 only, not hybrids with version 1",
    )
    parser.add_argument(
        "--tracker",
        metavar="URL",
        action="append",
        default=[],
        help="tracker of the torrents, such as that of pumice seed (repeatable)",
    )


def publish(options: argparse.Namespace, progress: Quiet) -> int:
    """Publish the images of the command line; print NAME:TAG@DIGEST of each."""
    from pumice.cli.publishing import publish_summary
    from pumice.image.output import check_directory
    from pumice.publish import bucket_tree, oci_tree
    from pumice.store.home import Home, locate

    _check_options(options)
    if not options.oci.startswith(bucket_tree.SCHEME):
        check_directory(options.oci)
    removed_tags = [_split_name(name) for name in options.untag]
    started = time.monotonic()
    host = _host_of(options.url) if options.url else ""
    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.access(home, progress, options) as access,
    ):
        images = [_read_image(reference, options, home, access) for reference in options.references]
        if options.torrent or options.torrent_v2:
            images = [_with_torrents(image, options, host, progress) for image in images]
        with _open_tree(options.oci) as tree:
            written = oci_tree.publish_images(images, tree, progress) if images else oci_tree.Written()
            for repository, tag in removed_tags:
                oci_tree.remove_tag(tree, repository, tag)
            removed = _prune(tree, options)
    progress.finish(
        publish_summary.summarize(options.oci, images, written, removed, time.monotonic() - started)
    )
    for image in images:
        print(f"{f'{host}/' if host else ''}{image}@{image.gathered.graph.root.digest}")
    return 0


def _prune(tree: Tree, options: argparse.Namespace) -> Removed | None:
    """Note what is no longer needed; with ``--prune``, remove it after the grace period."""
    from pumice.publish import unreferenced

    now = int(time.time())
    if options.prune:
        return unreferenced.remove_unreferenced(tree, now, options.grace_period * HOUR)
    unreferenced.note_unreferenced(tree, now)
    return None


def _check_options(options: argparse.Namespace) -> None:
    if options.name and len(options.references) != 1:
        raise UsageError("--name names one image", hint="publish the images one by one")
    check_torrent_options(options)
    if not (options.references or options.untag or options.prune):
        raise UsageError("there is nothing to publish", hint="name an image: pumice publish --oci DIR REF")


def check_torrent_options(options: argparse.Namespace) -> None:
    """Raise UsageError for options of torrents that do not make sense."""
    has_torrents = options.torrent or options.torrent_v2
    if has_torrents and not options.url:
        raise UsageError("torrents need the URL of the registry", hint="add --url https://HOST")
    if options.tracker and not has_torrents:
        raise UsageError("--tracker is for torrents", hint="add --torrent")
    for tracker in options.tracker:
        _check_tracker(tracker)


def _check_tracker(url: str) -> None:
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        raise UsageError(f"{url[:200]!r} is not a tracker", hint="write --tracker http://HOST:PORT/announce")


def _host_of(url: str) -> str:
    """Return the host and port of ``--url``; raises UsageError, also for a URL with a path."""
    from urllib.parse import urlsplit

    from pumice.registry import reference

    try:
        parts = urlsplit(url)
        host = reference.normalize_host(parts.netloc)
        is_valid = parts.scheme in {"https", "http"} and reference.is_host(host)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UsageError(f"{url[:200]!r} is not the URL of a registry", hint="write --url https://HOST")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(
            f"a registry is at the root of its host, but {url[:200]!r} has a path",
            hint=f"write --url {parts.scheme}://{parts.netloc}, and publish to the root of that server",
        )
    return host


@contextmanager
def _open_tree(target: str) -> Iterator[Tree]:
    """Give the tree to publish to; a directory gets the configuration for nginx."""
    from pumice import files
    from pumice.publish import bucket_tree, directory_tree, nginx

    if target.startswith(bucket_tree.SCHEME):
        yield bucket_tree.open_bucket(target, os.environ)
        return
    with directory_tree.open_directory(Path(target)) as tree:
        configuration = nginx.make_configuration(str(tree.root)).encode()
        path = Path(tree.root, nginx.FILE_NAME)
        if not path.exists() or path.read_bytes() != configuration:
            files.replace(path, configuration)
        yield tree


def _read_image(reference: str, options: argparse.Namespace, home: Home, access: Access) -> PublishedImage:
    from pumice.formats import platforms
    from pumice.image.transports import references, transfer
    from pumice.publish import oci_tree

    opened = references.find_source(reference, home).open(access)
    if options.name:
        repository, colon, tag = options.name.rpartition(":")
        name, version = (repository, tag) if colon else (options.name, opened.version)
    else:
        name, version = _drop_host(opened.name), opened.version
    if not name:
        raise UsageError("the image has no name", where=reference[:200], hint="name it with --name NAME:TAG")
    oci_tree.check_name(name, version or "latest")
    platform = platforms.parse_platform(options.platform) if options.platform else None
    gathered = transfer.gather_image(opened, with_referrers=not options.only_image, platform=platform)
    return oci_tree.PublishedImage(gathered, name, version or "latest")


def _with_torrents(
    image: PublishedImage, options: argparse.Namespace, host: str, progress: Quiet
) -> PublishedImage:
    import msgspec

    from pumice.publish import oci_tree
    from pumice.swarm import artifact

    scheme = options.url.partition("://")[0]
    gathered = artifact.add_torrents(
        image.gathered,
        f"{scheme}://{host}/{oci_tree.ROOT}{image.repository}",
        options.tracker,
        with_v1=not options.torrent_v2,
        progress=progress,
    )
    return msgspec.structs.replace(image, gathered=gathered)


def _drop_host(name: str) -> str:
    """Return the repository that an image of this name has on its own host."""
    from pumice.registry import reference

    return name.partition("/")[2] if reference.has_registry_host(name) else name


def _split_name(text: str) -> tuple[str, str]:
    from pumice.publish import oci_tree

    name, colon, tag = text.rpartition(":")
    if not colon:
        raise UsageError(f"{text[:200]!r} has no tag", hint="write NAME:TAG")
    oci_tree.check_name(name, tag)
    return name, tag
