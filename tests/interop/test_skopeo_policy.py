"""skopeo lets in by an exported policy what the rules here let in, by its default identity rule."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.image.transports import attachment, layout
from pumice.trust import export, image_signing, policy_edit
from pumice.trust import policy as keyring
from pumice.trust.policy import PolicyDirectory
from tests.support import pushing, registry, signed_images, skopeo
from tests.support.signed_images import key, signer
from tests.support.trust_world import TrustWorld


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.debian(tmp_path_factory.mktemp("registry")) as address:
        yield address


def pushed(folder: Path, host: str, repository: str, *, by: int | None = 0, place: str = "") -> None:
    """Push an image; signed as itself by one of the keys, and as what lies at ``place``."""
    signed_images.folder(folder)
    if by is not None:
        image = signed_images.sign_folder(folder, by)
        if place:
            image_signing.sign_docker_reference(
                image, attachment.LayoutAttachment(folder, image), None, signer(by), place
            )
    assert (len(layout.read_layout(folder).beside) > 0) is (by is not None)
    pushing.push(folder, host, repository, "1.0")


def fetched(root: Path, levels: tuple[PolicyDirectory, ...], place: str) -> subprocess.CompletedProcess[str]:
    """Let skopeo copy an image from the registry under the policy that is exported."""
    found, mirrors = keyring.read_rules(levels), keyring.read_mirrors(levels)
    policy = export.containers_policy(found, keyring.read_thresholds(levels), mirrors, now=0)
    (root / "policy.json").write_bytes(policy)
    (root / "registries.d").mkdir(exist_ok=True)
    (root / "registries.d" / "pumice.yaml").write_bytes(export.registries_config(found, mirrors))
    options = ("--policy", f"{root}/policy.json", "--registries.d", f"{root}/registries.d")
    how = ("copy", "--src-tls-verify=false", "--remove-signatures", f"docker://{place}")
    return subprocess.run(
        [*skopeo.command(str(root)), *options, *how, f"dir:{root}/copy"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def levels(tmp_path: Path) -> tuple[PolicyDirectory, ...]:
    return (PolicyDirectory("user", tmp_path / "trust"),)


def test_skopeo_accepts_an_image_signed_as_its_reference(
    host: str, tmp_path: Path, levels: tuple[PolicyDirectory, ...]
) -> None:
    policy_edit.add_key(levels[0], key(0).public_key, f"{host}/apps")
    place = f"{host}/apps/placed:1.0"
    pushed(tmp_path / "image", host, "apps/placed", place=place)
    done = fetched(tmp_path, levels, place)
    assert done.returncode == 0, done.stderr
    policy_edit.remove_rule(levels[0], keyring.read_rules(levels)[0])
    policy_edit.add_key(levels[0], key(1).public_key, f"{host}/apps")
    assert fetched(tmp_path, levels, place).returncode != 0


@pytest.mark.parametrize(
    ("repository", "by", "message"),
    [("apps/elsewhere", 0, "is not accepted"), ("apps/unsigned", None, "no signature")],
)
def test_skopeo_refuses_other_and_unsigned_images(
    host: str,
    tmp_path: Path,
    levels: tuple[PolicyDirectory, ...],
    repository: str,
    by: int | None,
    message: str,
) -> None:
    policy_edit.add_key(levels[0], key(0).public_key, f"{host}/apps")
    pushed(tmp_path / "image", host, repository, by=by, place=f"{host}/apps/placed:1.0")
    done = fetched(tmp_path, levels, f"{host}/{repository}:1.0")
    assert done.returncode != 0
    assert message in done.stderr


def test_skopeo_accepts_an_image_of_a_mirror(
    host: str, tmp_path: Path, levels: tuple[PolicyDirectory, ...]
) -> None:
    policy_edit.add_key(levels[0], key(0).public_key, "example.com")
    policy_edit.set_mirror(levels[0], f"{host}/mirror", "example.com")
    pushed(tmp_path / "image", host, "mirror/hello")  # signed as example.com/hello:1.0 and no more
    done = fetched(tmp_path, levels, f"{host}/mirror/hello:1.0")
    assert done.returncode == 0, done.stderr
    pushed(tmp_path / "other", host, "mirror/bank")
    assert "is not accepted" in fetched(tmp_path, levels, f"{host}/mirror/bank:1.0").stderr


def test_skopeo_refuses_an_image_without_a_rule(
    host: str, tmp_path: Path, levels: tuple[PolicyDirectory, ...]
) -> None:
    pushed(tmp_path / "image", host, "apps/nobody", place=f"{host}/apps/nobody:1.0")
    assert "rejected by policy" in fetched(tmp_path, levels, f"{host}/apps/nobody:1.0").stderr


@pytest.mark.parametrize("how", ["build", "sign", "push"])
def test_skopeo_accepts_images_signed_in_a_registry(host: str, tmp_path: Path, how: str) -> None:
    world = TrustWorld(tmp_path)
    world.must("key", "generate", "--output", "release")
    place = f"{host}/apps/{how}:1.0"
    built = ("build", "recipe.yaml", "-o", f"docker://{place}")
    wrong = {"PUMICE_KEY_PASSPHRASE": "wrong"}
    signing: dict[str, tuple[str, ...]] = {
        "build": (*built, "--sign", "release.key"),
        "sign": ("sign", f"docker://{place}", "--key", "release.key"),
        "push": ("push", "example.com/hello:1.0", f"{host}/apps/push", "--sign", "release.key"),
    }
    if how != "build":
        world.must(*(built if how == "sign" else built[:2]))
    digest = world.must(*signing[how])
    world.trust("release.pub", f"{host}/apps")
    done = fetched(tmp_path, (world.rules,), place)
    assert done.returncode == 0, done.stderr
    assert "signed   by" in world.must("verify", f"docker://{place}", store="other")
    again = world.do(*signing[how], environment=wrong)  # nothing is signed again, and no key opened
    assert (again.code, again.stdout) == (0, digest), again.stderr
