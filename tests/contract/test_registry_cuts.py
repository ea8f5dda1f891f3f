"""Breaks the connection at every request of a push, a pull and a copy, one at a time.

The client does not retry here, so each break must be reported in one sentence with a documented exit code,
leave nothing incomplete visible, and a second attempt must succeed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.errors import PumiceError
from pumice.registry import Client, ClientSettings, RetryPolicy, parse_reference
from pumice.store.home import Home
from tests.support import images, sampling, serving, transfers
from tests.support import registry as support
from tests.support.cutting import MOMENTS, Cutter, Moment
from tests.support.transfers import copy, everything
from tests.support.wire import Wire

NAME = "example.com/app:1.0"
STEP = 1 if sampling.is_soak() else 3
"""Breaks every third request, the others at other moments; a soak test breaks all of them."""
HASTY = ClientSettings(retry_policy=RetryPolicy(attempts=1))
KINDS = ["ours", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))]


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A directory in memory if possible: power does not fail here, and disks are slow."""
    shared_memory = Path("/dev/shm")
    directory = shared_memory if os.access(shared_memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=directory, prefix="pumice-test-") as folder:
        yield Path(folder)


@pytest.fixture(params=KINDS, scope="module")
def host(request: pytest.FixtureRequest, memory: Path) -> Iterator[str]:
    folder = memory / str(request.param)
    folder.mkdir()
    if request.param == "debian":
        with support.debian(folder) as docker_registry:
            yield docker_registry
    else:
        with serving.serving(folder / "root") as server:
            yield server.host


@pytest.fixture
def work(memory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def home(work: Path) -> Iterator[Home]:
    """A store with an image, a cosign signature, and a referrer."""
    with Home(work / "store") as opened_home:
        root = images.make(opened_home, [{"file": "content"}], name=NAME).root
        transfers.store_cosign_manifest(opened_home, root.digest, "by somebody")
        opened_home.referrers.add(root.digest, [transfers.referrer(opened_home, root, "application/x-sbom")])
        yield opened_home


def hasty(source: str, target: str, home: Home) -> PumiceError | None:
    """Copy without retries; return the error."""
    try:
        with Client(settings=HASTY) as client:
            transfers.copy_with(client, source, target, home)
    except PumiceError as error:
        return error
    return None


def assert_helpful(error: PumiceError | None) -> None:
    assert error is not None
    assert error.exit_code == 6
    assert error.message
    assert "\n" not in error.message
    assert not error.message.endswith(".")


def digest_of_tag(image_reference: str) -> str:
    """Return the digest under a tag, "" if there is none."""
    with Client(settings=transfers.QUICK) as client:
        descriptor = client.head_manifest(parse_reference(image_reference))
    return descriptor.digest if descriptor else ""


@pytest.mark.sampled
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("operation", ["push", "pull", "copy"])
def test_a_transfer_survives_a_broken_connection_at_every_request(
    host: str, home: Home, work: Path, operation: str, moment: Moment
) -> None:
    expected = everything(NAME, home)
    root = home.refs.get(NAME)
    assert root is not None
    copy(NAME, f"docker://{host}/from:1", home)
    cuts = 0
    number = MOMENTS.index(moment) % STEP
    while True:
        target = f"docker://{{}}/{operation}-{moment}/{number}:1" if operation != "pull" else f"store:{NAME}"
        source = NAME if operation == "push" else "docker://{}/from:1"
        with Home(work / f"other-{number}") as other_home, Cutter(host, number, moment) as wire:
            target_home = home if operation == "push" else other_home
            error = hasty(source.format(wire.host), target.format(wire.host), target_home)
            if wire.is_cut:
                cuts += 1
                assert_helpful(error)
                if operation == "pull":
                    assert other_home.refs.get(NAME) is None
                    assert all(other_home.blobs.verify(digest) for digest in other_home.blobs.digests())
                else:  # the last response may be the one that was lost
                    assert digest_of_tag(target.format(host)) in ("", root.digest)
                copy(source.format(host), target.format(host), target_home)
            assert everything(target.format(host).removeprefix("store:"), target_home) == expected
            if wire.count <= number:
                break
        number += STEP
    assert number > 8
    assert cuts or moment == "in-body"  # few requests have such a moment if blobs are mounted or pulled


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("share", [0.02, 0.35, 0.65, 0.98])
def test_a_large_blob_resumes_after_a_broken_connection(host: str, direction: str, share: float) -> None:
    data = bytes(range(251)) * 40_000
    descriptor = transfers.described(data)
    direct = parse_reference(f"docker://{host}/large-{direction}-{int(share * 100)}:1").repository
    with Client(settings=transfers.QUICK) as client:
        if direction == "down":
            client.upload_blob(direct, descriptor, data)
        with Wire(host, int(len(data) * share)) as wire:
            through_wire = parse_reference(f"docker://{wire.host}/{direct.name}:1").repository
            if direction == "up":
                assert client.upload_blob(through_wire, descriptor, data) == "sent"
            else:
                with client.open_blob(through_wire, descriptor.digest, len(data)) as file:
                    assert file.read() == data
            assert wire.is_cut
            bytes_sent_again = wire.count - len(data)
    with Client(settings=transfers.QUICK) as client, client.open_blob(direct, descriptor.digest) as file:
        assert file.read() == data
    if direction == "down":
        assert bytes_sent_again < len(data) * (1 - share) + 100_000
