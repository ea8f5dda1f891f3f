"""Copies from pods whose files are only in the memory of a virtual machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pumice.errors import PodError
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.copying.copy import export_root
from pumice.runtime.pods.pod_store import PodState
from pumice.runtime.pods.records import Pod


def test_files_in_the_memory_of_a_machine_are_not_taken_from_the_host() -> None:
    pod = Pod(
        id="1",
        name="web",
        image="box:1",
        digest="",
        created="",
        command=("sh",),
        stage1="kvm",
        shares_root=False,
    )
    reader, writer = os.pipe()
    with pytest.raises(PodError, match="the files of the pod web are in the memory of its virtual machine"):
        export_root(PodState(Path("/nonexistent"), pod, pod_store.RUNNING), writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b""
