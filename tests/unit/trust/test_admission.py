"""Admission: what was built here, what is signed, what is older than before, and what the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pumice.clock import FixedClock
from pumice.errors import StoreError, TrustError
from pumice.image.model import Image, list_blobs
from pumice.image.referrers import OverlaidBlobs
from pumice.image.transports import attachment
from pumice.progress import Silent
from pumice.store.garbage_collection import collect
from pumice.store.home import Home
from pumice.trust import admission, image_names, image_signing, policy, policy_edit, rollback
from pumice.trust.policy_files import PolicyDirectory
from tests.support import images, signed_images
from tests.support.signed_images import NAME, key, signer, trusted


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "store")


@pytest.fixture
def levels(tmp_path: Path) -> tuple[PolicyDirectory, ...]:
    directories = (PolicyDirectory("user", tmp_path / "trust"),)
    policy_edit.add_key(directories[0], key(0).public_key, "example.com")
    return directories


def brought(home: Home, name: str = NAME, *, sign_as: str = "", by: int | None = 0, **fields: Any) -> Image:
    """Put an image of somebody else's into the store, signed."""
    new_image = signed_images.image(name, **fields)
    for descriptor in list_blobs(new_image):
        with new_image.blobs.open(descriptor.digest) as file:
            images.put(home, file.read())
    image = Image(new_image.root, home.blobs)
    home.refs.set(name, image.root)
    if by is not None:
        image_signing.sign_image(image, attachment.StoreAttachment(home), home, signer(by), name=sign_as)
    return image


def judge(
    image: Image,
    home: Home,
    name: str,
    levels: Sequence[PolicyDirectory],
    *,
    purpose: admission.Purpose = "pull",
    now: int = 0,
    keep: bool = False,
    **more: Any,
) -> admission.Decision:
    """Judge an image, and with ``keep`` let it count as used."""
    request = admission.AdmissionRequest(name=name, **more)
    decision = admission.decide(image, purpose, home, request, levels, now=now)
    if keep:
        admission.record_decision(decision, home)
    return decision


def checks(decision: admission.Decision) -> dict[str, tuple[bool, str]]:
    return {check.subject: (check.passed, check.detail) for check in decision.checks}


def elsewhere(image: Image, registry_name: str = "") -> Image:
    """Return the same image as another place gives it."""
    return Image(image.root, OverlaidBlobs([], image.blobs), image.referrers, registry_name=registry_name)


def test_run_admits_an_unsigned_image_from_the_store_that_built_it(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    image = brought(home, by=None)
    with pytest.raises(TrustError, match="not signed"):
        judge(image, home, NAME, levels, purpose="run")
    home.build_marks.add(image.root.digest)
    decision = judge(image, home, NAME, levels, purpose="run")
    assert decision.built_here
    assert checks(decision)["signature"] == (False, "the image was built here")
    assert checks(decision)["freshness"] == (False, "the image was built here")


@pytest.mark.parametrize("purpose", ["run", "pull", "verify"])
def test_an_image_built_here_needs_a_signature_if_it_comes_from_elsewhere(
    home: Home, levels: tuple[PolicyDirectory, ...], purpose: admission.Purpose
) -> None:
    image = brought(home, by=None)
    home.build_marks.add(image.root.digest)
    with pytest.raises(TrustError, match="not signed"):
        judge(elsewhere(image), home, "", levels, purpose=purpose)


@pytest.mark.parametrize("purpose", ["run", "pull", "verify"])
@pytest.mark.parametrize("waived", [False, True])
def test_a_registry_cannot_serve_an_image_built_here_under_another_name(
    home: Home, levels: tuple[PolicyDirectory, ...], purpose: admission.Purpose, waived: bool
) -> None:
    image = brought(home)
    home.build_marks.add(image.root.digest)
    location = elsewhere(image, "example.com/bank:1.0")
    with pytest.raises(TrustError, match=r"not as example\.com/bank:1\.0"):
        judge(location, home, "", levels, purpose=purpose, allow_built_here=waived)


def test_verify_requires_a_signature_of_an_image_built_here_unless_waived(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    image = brought(home, by=None)
    home.build_marks.add(image.root.digest)
    with pytest.raises(TrustError, match="not signed"):
        judge(image, home, NAME, levels, purpose="verify")
    decision = judge(image, home, NAME, levels, purpose="verify", allow_built_here=True)
    assert checks(decision)["signature"] == (False, "the image was built here")
    assert checks(decision)["name"] == (True, f"the image declares the name {NAME}")
    with pytest.raises(TrustError, match="not signed"):
        judge(image, home, "example.com/bank:1.0", levels, purpose="verify", allow_built_here=True)


def test_allow_built_here_does_not_admit_an_image_from_elsewhere(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    with pytest.raises(TrustError, match="not signed"):
        judge(brought(home, by=None), home, NAME, levels, purpose="verify", allow_built_here=True)


def test_run_refuses_an_image_built_here_under_another_name(home: Home, tmp_path: Path) -> None:
    image = brought(home, by=None)
    home.build_marks.add(image.root.digest)

    def admit(name: str, *, insecure: bool = False) -> admission.Decision:
        request = admission.AdmissionRequest(reference=NAME, name=name)
        return admission.admit(image, "run", home, request, environ={}, progress=Silent(), insecure=insecure)

    assert admit("").built_here
    assert admit(NAME).name == NAME
    with pytest.raises(TrustError, match=r"not as example\.com/bank:1\.0"):
        admit("example.com/bank:1.0")
    assert not admit("example.com/bank:1.0", insecure=True).built_here


def test_a_decision_lists_its_checks(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    assert checks(judge(brought(home), home, NAME, levels)) == {
        "signature": (True, "signed by a trusted key"),
        "name": (True, f"signed as {NAME}"),
        "freshness": (True, "no newer image of this name was admitted before"),
    }


def test_an_image_signed_by_a_key_of_the_policy_is_admitted(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    decision = judge(brought(home), home, NAME, levels, now=0)
    assert decision.signatures[0].trusted_key is not None
    assert decision.signatures[0].trusted_key.rule == "user rule for example.com"
    assert decision.threshold == 1


def test_a_key_for_one_prefix_is_not_trusted_for_another(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    image = brought(home, "example.org/hello:1.0")
    with pytest.raises(TrustError) as caught:
        judge(image, home, "example.org/hello:1.0", levels, now=0)
    assert caught.value.hint is not None
    assert "no key is trusted for example.org/hello:1.0" in caught.value.hint


def test_the_requested_name_must_be_signed_not_the_declared_name(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    image = brought(home)
    with pytest.raises(TrustError, match="not as example"):
        judge(image, home, "example.com/bank:1.0", levels, now=0)


def test_an_older_version_is_refused(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    new, old = (
        brought(home, "example.com/a:1.10", content=b"new"),
        brought(home, "example.com/a:1.9", content=b"old"),
    )
    judge(old, home, "", levels, now=0, keep=True)
    judge(new, home, "", levels, now=0, keep=True)
    judge(new, home, "", levels, now=0, keep=True)
    with pytest.raises(TrustError, match=r"1\.10 was admitted") as caught:
        judge(old, home, "", levels, now=0)
    assert caught.value.hint is not None
    assert "--allow-older" in caught.value.hint
    assert judge(old, home, "", levels, now=0, allow_older=True).signatures


def test_an_earlier_build_of_the_same_version_is_refused(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    late = brought(home, created="2024-02-01T00:00:00Z")
    early = brought(home, created="2024-01-01T00:00:00Z")
    judge(late, home, NAME, levels, now=0, keep=True)
    with pytest.raises(TrustError, match="it was created on 2024-01-01"):
        judge(early, home, NAME, levels, now=0)


def test_a_decision_alone_records_nothing(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    judge(brought(home), home, NAME, levels, now=0)
    assert rollback.read_accepted("example.com/hello", home) == ()


def test_a_damaged_record_is_reported(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    image = brought(home)
    judge(image, home, NAME, levels, now=0, keep=True)
    (path,) = home.directory("accepted").iterdir()
    path.write_bytes(b"x")
    with pytest.raises(StoreError, match="is damaged"):
        judge(image, home, NAME, levels, now=0)


def test_versions_without_an_order_are_not_older(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    judge(brought(home, "example.com/a:latest", content=b"1"), home, "", levels, now=0, keep=True)
    assert judge(brought(home, "example.com/a:edge", content=b"2"), home, "", levels, now=0).signatures


def test_keys_of_the_request_replace_the_policy(home: Home) -> None:
    assert judge(brought(home), home, NAME, (), keys=(trusted(),)).signatures


def test_garbage_collection_keeps_signatures_as_long_as_the_image(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    image = brought(home)
    home.build_marks.add(image.root.digest)
    collect(home, FixedClock(0), keep_days=None)
    assert len(judge(image, home, NAME, (), keys=(trusted(),)).signatures) == 2
    home.refs.remove(NAME)
    collect(home, FixedClock(0), keep_days=None)
    assert list(home.blobs.digests()) == []
    assert home.referrers.get(image.root.digest) == ()
    assert not home.build_marks.has(image.root.digest)


@pytest.mark.parametrize(
    ("stated", "expected", "fits"),
    [
        ("a/b:1", "a/b:1", True),
        ("a/b:1", "a/b", True),
        ("a/b", "a/b:1", True),
        ("a/b:1", "a/b:2", False),
        ("host:5000/a", "host:5000/a:1", True),
        ("host:5000/a", "host", False),
        ("a/b@sha256:00", "a/b:1", True),
        ("a/b:15.14", "a/b:15", True),
        ("a/b:3.11.2", "a/b:3.11", True),
        ("a/b:17.0.16-8", "a/b:17.0.16", True),
        ("a/b:15", "a/b:15.14", False),
        ("a/b:15.14", "a/b:1", False),
        ("a/b:16-rc1", "a/b:16", False),
        ("a/b:9.2p1", "a/b:9", False),
        ("a/c:15.14", "a/b:15", False),
    ],
)
def test_names(stated: str, expected: str, fits: bool) -> None:
    assert image_names.matches(stated, expected) is fits


def test_policy_directories_follow_the_environment(tmp_path: Path) -> None:
    assert [directory.name for directory in policy.policy_directories({})] == ["vendor", "system"]
    assert policy.policy_directories({"HOME": "/h"})[-1].path == Path("/h/.config/pumice/trust")
    assert policy.policy_directories({"XDG_CONFIG_HOME": "/x", "HOME": "/h"})[-1].path == Path(
        "/x/pumice/trust"
    )


def test_each_track_has_its_own_newest_version(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    def of(version: str, track: str) -> Image:
        return brought(home, f"example.com/db:{version}", content=version.encode(), track=track)

    judge(of("16.2", "16"), home, "", levels, now=0, keep=True)
    judge(of("15.9", "15"), home, "", levels, now=0, keep=True)
    with pytest.raises(TrustError, match=r"15\.9 of track 15 was admitted"):
        judge(of("15.8", "15"), home, "", levels, now=0)
    with pytest.raises(TrustError, match=r"16\.2 of track 16 was admitted"):  # leaving it out helps nobody
        judge(of("16.1", ""), home, "", levels, now=0)


def test_a_version_without_an_order_does_not_admit_older_versions(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    for version in ("2.0", "latest"):
        image = brought(home, f"example.com/a:{version}", content=version.encode())
        judge(image, home, "", levels, now=0, keep=True)
    with pytest.raises(TrustError, match=r"2\.0 was admitted"):
        judge(brought(home, "example.com/a:1.0"), home, "", levels, now=0)


def test_recording_refuses_an_image_if_another_process_recorded_a_newer_one(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    old, new = (
        brought(home, f"example.com/a:{version}", content=version.encode()) for version in ("1.0", "1.1")
    )
    checked = rollback.check_rollback(old, "example.com/a:1.0", home)
    judge(new, home, "", levels, now=0, keep=True)
    assert checked is not None
    with pytest.raises(TrustError, match=r"1\.1 was admitted"):
        rollback.record_accepted(checked.image, home, compared=checked.compared)
    assert [accepted.version for accepted in rollback.read_accepted("example.com/a", home)] == ["1.1"]


def test_records_of_earlier_versions_of_pumice_are_read(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    from pumice import digest
    from pumice.store import sealed_files

    data = b'{"name":"example.com/a","version":"2.0","created":0,"digest":"sha256:0"}'
    where = home.directory("accepted") / digest.hex_of(digest.of(b"example.com/a"))
    where.write_bytes(sealed_files.seal(data))
    with pytest.raises(TrustError, match=r"2\.0 was admitted"):
        judge(brought(home, "example.com/a:1.0"), home, "", levels, now=0)


def test_both_keys_are_trusted_during_the_overlap_of_a_rotation(
    home: Home, levels: tuple[PolicyDirectory, ...]
) -> None:
    day = 86_400
    policy_edit.rotate_key(levels[0], policy.read_rules(levels), key(1).public_key, until=10 * day)
    image = brought(home)
    assert judge(image, home, "", levels, now=10 * day - 1).signatures  # by the old one
    with pytest.raises(TrustError, match="expired on 1970-01-11"):
        judge(image, home, "", levels, now=10 * day)
    image_signing.sign_image(image, attachment.StoreAttachment(home), home, signer(1))
    for now in (0, 10 * day, 1000 * day):  # by the new one
        assert judge(image, home, "", levels, now=now).signatures
    policy_edit.revoke_key(levels[0], key(1).public_key.fingerprint, "stolen")
    with pytest.raises(TrustError, match=r"is revoked \(stolen\)"):
        judge(image, home, "", levels, now=10 * day)


def test_a_key_and_its_replacement_are_one_signer(home: Home, levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[0], key(2).public_key, "example.com")
    policy_edit.set_threshold(levels[0], "example.com", 2)
    own_rules = [rule for rule in policy.read_rules(levels) if rule.key.key == key(0).public_key]
    policy_edit.rotate_key(levels[0], own_rules, key(1).public_key, until=1000)
    image = brought(home)
    image_signing.sign_image(image, attachment.StoreAttachment(home), home, signer(1))
    with pytest.raises(TrustError, match="signed by 1 of 2 required keys") as caught:
        judge(image, home, "", levels, now=0)
    assert key(2).public_key.fingerprint[:16] in (caught.value.hint or "")
    image_signing.sign_image(image, attachment.StoreAttachment(home), home, signer(2))
    assert judge(image, home, "", levels, now=0).threshold == 2
