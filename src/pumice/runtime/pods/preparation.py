"""Pods that are prepared now and started later: their image is unpacked, verified and pinned."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.errors import PodError
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.pod_store import PodState
from pumice.runtime.pods.records import Pod
from pumice.runtime.pods.supervisor import pod_files

if TYPE_CHECKING:
    from pumice.formats.oci import RunConfig
    from pumice.image.model import Image
    from pumice.runtime.container import Process
    from pumice.runtime.run_options import PodOptions
    from pumice.store.home import Home

_MAX_RECORD = 1 << 16


class PreparedRecord(msgspec.Struct, frozen=True):
    """The file ``prepared``: the digest of the manifest or index that was verified."""

    root: str


class PreparedPod(msgspec.Struct, frozen=True):
    """A pod that was prepared, and the digest of its image."""

    state: PodState
    root: str


def write_prepared_pod(
    home: Home,
    request: PodOptions,
    process: Process,
    config: RunConfig,
    *,
    image: str,
    digests: tuple[str, str],
) -> Pod:
    """Write the directory of a pod that is started later, and return its record.

    ``image`` is the reference of the image, ``digests`` are those of what it leads to and of the manifest
    of the platform. Raises PodError if the name is in use.
    """
    root, digest = digests
    pod = Pod(
        id=request.id,
        name=pod_store.check_name(request.name or pod_store.choose_name(image, request.id)),
        image=image,
        digest=digest,
        created=pod_files.format_time(time.time()),
        command=process.arguments,
        labels={**config.labels, **request.labels},
        stage1=request.stage1,
        remove=request.remove,
        run_options=request.run_options,
        run_arguments=request.run_arguments,
        run_directory=request.run_directory,
    )
    record = msgspec.json.encode(PreparedRecord(root))
    os.close(pod_store.create_pod(home, pod, {pod_store.MARK_OF_PREPARED: record}))
    return pod


def adopt(pod: PodOptions, prepared: PreparedPod | None) -> PodOptions:
    """Return the options of a pod with the id and the name of a prepared one, if there is one."""
    if prepared is None:
        return pod
    record = prepared.state.pod
    return msgspec.structs.replace(
        pod,
        id=record.id,
        name=record.name,
        run_options=record.run_options,
        run_arguments=record.run_arguments,
        run_directory=record.run_directory,
    )


def choose_reference(reference: str, prepared: PreparedPod | None, home: Home) -> str:
    """Return the digest of the image of a prepared pod if the store has it, else its reference."""
    is_stored = prepared is not None and home.blobs.size(prepared.root) is not None
    return prepared.root if prepared and is_stored else reference


def check_image(image: Image, prepared: PreparedPod | None, reference: str) -> None:
    """Raise PodError unless an image is the one that was prepared, if one was."""
    if prepared and image.root.digest != prepared.root:
        raise PodError(
            f"the image {reference[:200]} has changed since the pod was prepared",
            hint="prepare the pod again",
        )


def find_prepared(home: Home, text: str) -> PreparedPod:
    """Return the prepared pod that ``text`` means; raises PodError."""
    state = pod_store.find_pod(home, text)
    if state.state != pod_store.PREPARED:
        raise PodError(
            f"the pod {state.pod.name} is not prepared (it is {state.state})",
            hint="prepare one with 'pumice prepare'; each is started once",
        )
    try:
        with files.open_regular(state.directory / pod_store.MARK_OF_PREPARED) as file:
            return PreparedPod(state, decode_json(file.read(_MAX_RECORD), PreparedRecord).root)
    except (OSError, msgspec.MsgspecError):
        raise PodError(f"the record of the pod {state.pod.name} is damaged or gone") from None
