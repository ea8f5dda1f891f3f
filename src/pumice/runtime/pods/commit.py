"""Making an image of a running pod: its image and one more layer with what its programs changed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.clock import format_rfc3339
from pumice.errors import PodError
from pumice.formats import gzip, oci
from pumice.formats.oci import Descriptor, History, RunConfig
from pumice.image.model import Image
from pumice.runtime.pods.changed_files import ChangedFiles, find_changes, write_layer
from pumice.runtime.pods.copying.copy import export_root
from pumice.runtime.pods.execute import read_options
from pumice.runtime.sandbox.user_namespace import has_many_ids
from pumice.store.blobs import write_blob

if TYPE_CHECKING:
    from pumice.formats.oci import ImageConfig
    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The name of the new image, ``NAME:VERSION``, and what it records besides its files.

    ``created`` is in seconds since the epoch. ``change`` returns the changed config of the program.
    """

    name: str
    created: int
    author: str = ""
    message: str = ""
    change: Callable[[RunConfig], RunConfig] = lambda config: config


def commit_pod(state: PodState, request: CommitRequest, home: Home) -> str:
    """Store the image of a running pod under a name, and return the digest of its manifest.

    Volumes and other mounts are not part of it. Raises PodError if the pod does not run, or if the store
    does not have its image any more.
    """
    base = _open_base(state, home)
    with tempfile.TemporaryFile(dir=home.directory("tmp")) as file:
        export_root(state, os.dup(file.fileno()), marks_mounts=True)
        changes = find_changes(base, file, has_owners=_has_owners(state))
        layer, diff_id = _store_layer(file, changes, home)
    config = _extend_config(base.config(), diff_id, request)
    config_data = oci.encode_document(config)
    manifest_data = oci.encode_document(
        oci.make_manifest(oci.make_descriptor(config_data, oci.CONFIG), (*base.manifest().layers, layer))
    )
    for data in (config_data, manifest_data):
        write_blob(data, home.blobs)
    platform = oci.Platform(config.architecture, config.os, variant=config.variant)
    root = oci.make_descriptor(manifest_data, oci.MANIFEST, platform=platform)
    home.build_marks.add(root.digest)
    home.refs.set(request.name, root)
    return root.digest


def _open_base(state: PodState, home: Home) -> Image:
    size = home.blobs.size(state.pod.digest)
    if size is None:
        raise PodError(
            f"the store does not have the image of the pod {state.pod.name} any more",
            hint=f"write its files with 'pumice export {state.pod.name}'",
        )
    return Image(Descriptor(oci.MANIFEST, state.pod.digest, size), home.blobs)


def _has_owners(state: PodState) -> bool:
    """Return whether files of the container can have more owners than one."""
    options = read_options(state)
    return has_many_ids(options) and (os.geteuid() == 0 or bool(options.maps["uid"]))


def _store_layer(archive: BinaryIO, changes: ChangedFiles, home: Home) -> tuple[Descriptor, str]:
    """Store the layer; return its descriptor, and the digest of its content."""
    content = hashlib.sha256()
    with home.blobs.writer() as writer:
        members = gzip.MemberWriter(writer.write)

        def write(data: bytes) -> None:
            content.update(data)
            members.write(data)

        write_layer(archive, changes, write)
        members.close()
        digest = writer.commit()
    size = home.blobs.size(digest) or 0
    return Descriptor(oci.LAYER_GZIP, digest, size), f"sha256:{content.hexdigest()}"


def _extend_config(config: ImageConfig, diff_id: str, request: CommitRequest) -> ImageConfig:
    created = format_rfc3339(request.created)
    history = History(
        created=created, created_by="pumice commit", author=request.author, comment=request.message
    )
    return msgspec.structs.replace(
        config,
        created=created,
        author=request.author or config.author,
        config=request.change(config.config),
        rootfs=oci.RootFs("layers", (*config.rootfs.diff_ids, diff_id)),
        history=(*config.history, history) if config.history else (),
    )
