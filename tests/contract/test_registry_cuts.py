"""The network is cut at the moments of the requests of a push, a pull and a copy, one at a time.

The client has no patience here, so each cut is seen: it must end in one sentence with a documented
exit code, with nothing half done visible, and a second try must do all of it.
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
"""Every third request is cut, the rest at other moments; all of them in a soak."""
HASTY = ClientSettings(retry_policy=RetryPolicy(attempts=1))
KINDS = ["ours", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))]


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: power does not fail here, and disks would be waited for."""
    quick = Path("/dev/shm")
    place = quick if os.access(quick, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="pumice-test-") as folder:
        yield Path(folder)


@pytest.fixture(params=KINDS, scope="module")
def host(request: pytest.FixtureRequest, memory: Path) -> Iterator[str]:
    folder = memory / str(request.param)
    folder.mkdir()
    if request.param == "debian":
        with support.debian(folder) as where:
            yield where
    else:
        with serving.serving(folder / "root") as one:
            yield one.host


@pytest.fixture
def work(memory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def home(work: Path) -> Iterator[Home]:
    """A store with an image, a signature of cosign's, and a referrer."""
    with Home(work / "store") as opened:
        root = images.make(opened, [{"file": "content"}], name=NAME).root
        transfers.cosigned(opened, root.digest, "by somebody")
        opened.referrers.add(root.digest, [transfers.referrer(opened, root, "application/x-sbom")])
        yield opened


def hasty(source: str, target: str, home: Home) -> PumiceError | None:
    """Copy without a second chance; return what went wrong."""
    try:
        with Client(settings=HASTY) as client:
            transfers.copy_with(client, source, target, home)
    except PumiceError as error:
        return error
    return None


def told(error: PumiceError | None) -> None:
    assert error is not None
    assert error.exit_code == 6
    assert error.message
    assert "\n" not in error.message
    assert not error.message.endswith(".")


def tagged(place: str) -> str:
    """Return the digest under a tag, "" if there is none."""
    with Client(settings=transfers.QUICK) as client:
        found = client.head_manifest(parse_reference(place))
    return found.digest if found else ""


@pytest.mark.sampled
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("what", ["push", "pull", "copy"])
def test_a_cut_at_every_request(host: str, home: Home, work: Path, what: str, moment: Moment) -> None:
    before = everything(NAME, home)
    root = home.refs.get(NAME)
    assert root is not None
    copy(NAME, f"docker://{host}/from:1", home)
    cuts = 0
    number = MOMENTS.index(moment) % STEP
    while True:
        target = f"docker://{{}}/{what}-{moment}/{number}:1" if what != "pull" else f"store:{NAME}"
        source = NAME if what == "push" else "docker://{}/from:1"
        with Home(work / f"other-{number}") as other, Cutter(host, number, moment) as wire:
            place = home if what == "push" else other
            error = hasty(source.format(wire.host), target.format(wire.host), place)
            if wire.is_cut:
                cuts += 1
                told(error)
                if what == "pull":
                    assert other.refs.get(NAME) is None
                    assert all(other.blobs.verify(one) for one in other.blobs.digests())
                else:  # the very last answer may be what was lost
                    assert tagged(target.format(host)) in ("", root.digest)
                copy(source.format(host), target.format(host), place)
            assert everything(target.format(host).removeprefix("store:"), place) == before
            if wire.count <= number:
                break
        number += STEP
    assert number > 8
    assert cuts or moment == "in-body"  # which few requests have, when blobs are mounted or pulled


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("share", [0.02, 0.35, 0.65, 0.98])
def test_a_large_blob_goes_on_where_it_was_cut(host: str, way: str, share: float) -> None:
    data = bytes(range(251)) * 40_000
    descriptor = transfers.described(data)
    where = parse_reference(f"docker://{host}/large-{way}-{int(share * 100)}:1").repository
    with Client(settings=transfers.QUICK) as client:
        if way == "down":
            client.upload_blob(where, descriptor, data)
        with Wire(host, int(len(data) * share)) as wire:
            there = parse_reference(f"docker://{wire.host}/{where.name}:1").repository
            if way == "up":
                assert client.upload_blob(there, descriptor, data) == "sent"
            else:
                with client.open_blob(there, descriptor.digest, len(data)) as file:
                    assert file.read() == data
            assert wire.is_cut
            again = wire.count - len(data)
    with Client(settings=transfers.QUICK) as client, client.open_blob(where, descriptor.digest) as file:
        assert file.read() == data
    if way == "down":
        assert again < len(data) * (1 - share) + 100_000
