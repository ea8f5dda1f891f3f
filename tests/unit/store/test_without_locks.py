"""A store and layouts on a file system that has no locks, as some network file systems: they work."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from pumice.clock import FixedClock
from pumice.image.transports import layout
from pumice.runtime import prepared_tree
from pumice.store.garbage_collection import collect
from pumice.store.home import Home
from pumice.trust import admission, rollback
from pumice.trust.rollback import AcceptedImage
from tests.support import images
from tests.support.signed_images import NAME, folder, sign_folder, trusted


@pytest.fixture(autouse=True, params=[errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(request.param, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_layout_is_written_signed_and_verified(tmp_path: Path) -> None:
    image = sign_folder(folder(tmp_path / "image"), 0)
    with Home(tmp_path / "home") as home:
        request = admission.AdmissionRequest(name=NAME, keys=(trusted(),))
        decision = admission.decide(image, "verify", home, request, (), now=0)
        admission.record_decision(decision, home)
        assert rollback.read_accepted("example.com/hello", home)[0].version == "1.0"
    assert layout.read_layout(tmp_path / "image").root == image.root


def test_the_store_accepts_and_collects(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        rollback.record_accepted(AcceptedImage("example.com/app", "1.0", 1, "sha256:a"), home)
        blob = images.put(home, b"nothing refers to this")
        collect(home, FixedClock(0), keep_days=None)
        assert blob not in home.blobs.digests()


def test_a_tree_on_which_something_may_run_is_kept(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        tree = home.directory("trees") / ("0" * 64)
        tree.mkdir()
        assert prepared_tree.remove_unused(home, lambda _: False) == 0
        assert tree.is_dir()
