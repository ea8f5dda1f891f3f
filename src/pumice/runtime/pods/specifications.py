"""What was asked for when a pod was started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.decoding import decode_json
from pumice.errors import PodError
from pumice.runtime.pod_inputs.model import PodInput
from pumice.runtime.pods import pod_store

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState

_MAX_SPECIFICATION = 64 << 20


def read_specification(state: PodState) -> PodInput:
    """Return what was asked for when a pod was started; raises PodError if that is not known."""
    try:
        with files.open_regular(state.directory / pod_store.SPEC) as file:
            return decode_json(file.read(_MAX_SPECIFICATION), PodInput)
    except (OSError, msgspec.MsgspecError):
        raise PodError(f"it is not known how the pod {state.pod.name} was started") from None
