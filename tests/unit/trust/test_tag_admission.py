"""What a registry that requires signatures lets a tag point to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pumice.errors import PumiceError
from pumice.formats import oci
from pumice.registry.server.offer import Offer
from pumice.registry.server.storage.protocol import StoredBlob, StoredManifest
from pumice.store.home import Home
from pumice.trust import image_names, policy_edit, registry_admission, tag_admission
from pumice.trust.policy_files import PolicyDirectory
from tests.support import signed_images

if TYPE_CHECKING:
    from pumice.image.model import Image


class Clock:
    def now(self) -> int:
        return 1_750_000_000


class Contents:
    """A repository that holds one image with its signatures."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def manifest(self, repository: str, reference: str) -> StoredManifest | None:
        del repository
        for descriptor in self._descriptors():
            if descriptor.digest == reference:
                return StoredManifest(reference, descriptor.media_type, self._read(reference))
        return None

    def blob(self, repository: str, digest: str) -> StoredBlob | None:
        del repository
        try:
            content = self._read(digest)
        except PumiceError:
            return None
        return StoredBlob(len(content), content)

    def referrers(self, repository: str, about: str) -> list[bytes]:
        del repository, about
        return [msgspec.json.encode(descriptor) for descriptor in self._descriptors()]

    def _descriptors(self) -> list[oci.Descriptor]:
        return list(self._image.listed_referrers or self._image.referrers())

    def _read(self, digest: str) -> bytes:
        with self._image.blobs.open(digest) as file:
            return file.read()


class Registry:
    """One that sets tags as the rules in ``policy`` say."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.policy = PolicyDirectory("policy", root / "policy")
        policy_edit.add_key(self.policy, signed_images.key(0).public_key, "")
        self._count = 0

    def put(self, image: Image, repository: str, *tags: str) -> str:
        """Return why an image may not have its tags, "" if it may."""
        with Home(self._root / "records") as records:  # as after a restart
            accept = registry_admission.require_signed([self.policy], Clock(), records)
            body = image.document(image.root)
            contents = Contents(image)
            storage: Any = SimpleNamespace(
                manifests=SimpleNamespace(find=contents.manifest),
                blobs=SimpleNamespace(find=contents.blob),
                referrers=SimpleNamespace(list=contents.referrers),
            )
            root = image.root
            return accept(Offer(repository, root.digest, tags, root.media_type, body, storage)) or ""

    def image(self, name: str, *, signed_as: str = "", key: int = 0, at: int = 0, **more: Any) -> Image:
        """Return an image that is signed; ``signed_as`` "" is by the name that it says of itself."""
        self._count += 1
        folder = self._root / f"layout-{self._count}"
        signed_images.folder(folder, signed_images.image(name, content=f"{self._count}".encode(), **more))
        return signed_images.sign_folder(folder, key, name=signed_as, at=at)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


@pytest.mark.parametrize("repository", ["team/app", "example.com/team/app"])
@pytest.mark.parametrize("tag", ["1.2.3", "1.2", "1", "v1.2", "latest", "stable", "main", "1a2b3c4"])
def test_an_image_is_admitted_to_its_repository_and_tags(
    registry: Registry, repository: str, tag: str
) -> None:
    assert registry.put(registry.image("example.com/team/app:1.2.3"), repository, tag) == ""


@pytest.mark.parametrize(
    "repository", ["app", "team", "team/app2", "team/app/x", "other/app", "com/team/app"]
)
def test_an_image_is_not_admitted_to_another_repository(registry: Registry, repository: str) -> None:
    response = registry.put(registry.image("example.com/team/app:1.2.3"), repository, "1.2.3")
    assert f"the image is signed as example.com/team/app, not as {repository}" in response


@pytest.mark.parametrize(
    "tag", ["1.2.4", "2", "2.0", "1.3", "1.2.30", "v2", "2.0rc1", "1.2.3-debug", "1.20", "20240101"]
)
def test_a_version_tag_must_be_the_signed_version(registry: Registry, tag: str) -> None:
    response = registry.put(registry.image("example.com/team/app:1.2.3"), "team/app", tag)
    assert f"the signed version is 1.2.3, and the tag is {tag}" in response
    assert registry.put(registry.image("example.com/team/app:1.2.3"), "team/app", "1.2.3", tag) != ""


def test_the_signed_name_decides_not_the_declared_name(registry: Registry) -> None:
    image = registry.image("example.com/other:9", signed_as="registry.example/team/app:1.0")
    assert registry.put(image, "team/app", "1.0") == ""
    assert "the signed version is 1.0" in registry.put(image, "team/app", "9")
    assert "signature is not valid" in registry.put(image, "other", "9")


def test_a_mirror_rule_admits_images_of_its_origin(registry: Registry) -> None:
    policy_edit.set_mirror(registry.policy, "registry.example/mirror", "example.com")
    image = registry.image("example.com/team/app:1.0")
    assert registry.put(image, "mirror/team/app", "1.0") == ""
    assert "not as mirror/other" in registry.put(image, "mirror/other", "1.0")
    assert "the signed version" in registry.put(image, "mirror/team/app", "2.0")


def test_a_moving_tag_does_not_move_back(registry: Registry) -> None:
    old, new = (registry.image(f"example.com/app:{version}") for version in ("1.0", "2.0"))
    for tag in ("1.0", "latest"):
        assert registry.put(old, "app", tag) == ""
    for tag in ("2.0", "latest"):
        assert registry.put(new, "app", tag) == ""
    assert "older than one that was admitted before: 2.0" in registry.put(old, "app", "latest")
    assert registry.put(new, "app", "latest") == ""
    assert registry.put(old, "app", "1.0") == ""  # what the tag says is what it is


def test_a_version_tag_does_not_move_back_to_an_earlier_build(registry: Registry) -> None:
    old = registry.image("example.com/app:1.0", created="2024-01-01T00:00:00Z")
    new = registry.image("example.com/app:1.0", created="2024-02-01T00:00:00Z")
    for tag in ("1.0", "latest"):
        assert registry.put(old, "app", tag) == ""
        assert registry.put(new, "app", tag) == ""
        assert "older than one that was admitted before" in registry.put(old, "app", tag)


def test_the_signed_time_orders_builds_of_one_version(registry: Registry) -> None:
    later, earlier = "2024-02-01T00:00:00Z", "2024-01-01T00:00:00Z"
    old = registry.image("example.com/app:1.0", created=later, at=1_700_000_000)
    new = registry.image("example.com/app:1.0", created=earlier, at=1_700_000_001)
    undated = registry.image("example.com/app:1.0", created=later)
    for tag in ("1.0", "latest"):
        assert registry.put(old, "app", tag) == ""
        assert registry.put(new, "app", tag) == ""
        for image in (old, undated):
            assert "older than one that was admitted before" in registry.put(image, "app", tag)


def test_a_refused_tag_records_nothing(registry: Registry) -> None:
    old, new = (registry.image(f"example.com/app:{version}") for version in ("1.0", "2.0"))
    assert registry.put(new, "app", "latest", "9.9") != ""
    assert registry.put(old, "app", "latest") == ""


def test_an_image_without_a_version_does_not_replace_one_with_a_version(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_names, "check_name", lambda text: text)  # as cosign: the repository alone
    name = "registry.example/app"
    assert registry.put(registry.image("", signed_as=name), "app", "latest") == ""
    assert registry.put(registry.image(f"{name}:2.0"), "app", "latest") == ""
    response = registry.put(registry.image("", signed_as=name), "app", "latest")
    assert "the image has no version, and the tag has pointed to 2.0" in response


def test_a_key_is_trusted_only_below_its_prefix(registry: Registry) -> None:
    policy_edit.add_key(registry.policy, signed_images.key(1).public_key, "example.com/team")
    assert registry.put(registry.image("example.com/team/app:1.0", key=1), "team/app", "1.0") == ""
    assert "no valid signature" in registry.put(registry.image("example.com/app:1.0", key=1), "app", "1.0")


@pytest.mark.parametrize("count", [1, 2])
def test_all_required_keys_must_sign_the_same_version(registry: Registry, tmp_path: Path, count: int) -> None:
    policy_edit.add_key(registry.policy, signed_images.key(1).public_key, "")
    (registry.policy.path / "root.d" / "threshold").write_text("2")
    folder = signed_images.folder(tmp_path / "both", signed_images.image("example.com/app:1.0"))
    signed_images.sign_folder(folder, 0, name="example.com/app:1.0")
    image = signed_images.sign_folder(folder, 1, name=f"example.com/app:{count}.0")
    assert (registry.put(image, "app", "1.0") == "") is (count == 1)


@pytest.mark.parametrize(
    ("tag", "version", "expected"),
    [
        ("latest", "1.0", True),
        ("1", "1.0", True),
        ("v1", "1.0", True),
        ("1", "10.0", False),
        ("1.0", "1.0.1", True),
        ("1.0", "1.0-2", True),
        ("2.0", "2.0", False),
        ("2.0rc1", "1.0", False),
        ("bookworm", "12.1", True),
    ],
)
def test_words_and_partial_versions_may_move(tag: str, version: str, expected: bool) -> None:
    assert tag_admission.can_move_to(tag, version) is expected
