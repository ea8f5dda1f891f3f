"""With an exported policy, skopeo accepts the same images as our rules, by its default identity rule."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.image.transports import attachment, layout
from pumice.trust import export, image_mirrors, image_signing, policy_edit
from pumice.trust import policy as keyring
from pumice.trust.policy_files import PolicyDirectory
from tests.support import pushing, registry, signed_images, skopeo
from tests.support.signed_images import key, signer
from tests.support.trust_world import TrustWorld


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.debian(tmp_path_factory.mktemp("registry")) as address:
        yield address


def pushed(
    folder: Path, host: str, repository: str, *, by: int | None = 0, signed_reference: str = ""
) -> None:
    """Push an image, signed by key ``by`` under its own name and under ``signed_reference``."""
    signed_images.folder(folder)
    if by is not None:
        image = signed_images.sign_folder(folder, by)
        if signed_reference:
            image_signing.sign_docker_reference(
                image, attachment.LayoutAttachment(folder, image), None, signer(by), signed_reference
            )
    assert (len(layout.read_layout(folder).listed_referrers) > 0) is (by is not None)
    pushing.push(folder, host, repository, "1.0")


def copy_with_policy(
    root: Path, levels: tuple[PolicyDirectory, ...], reference: str
) -> subprocess.CompletedProcess[str]:
    """Copy an image from the registry with skopeo and the exported policy."""
    rules, mirrors = keyring.read_rules(levels), image_mirrors.read_mirrors(levels)
    policy = export.containers_policy(rules, keyring.read_thresholds(levels), mirrors, now=0)
    (root / "policy.json").write_bytes(policy)
    (root / "registries.d").mkdir(exist_ok=True)
    (root / "registries.d" / "pumice.yaml").write_bytes(export.registries_config(rules, mirrors))
    options = ("--policy", f"{root}/policy.json", "--registries.d", f"{root}/registries.d")
    how = ("copy", "--src-tls-verify=false", "--remove-signatures", f"docker://{reference}")
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
    reference = f"{host}/apps/placed:1.0"
    pushed(tmp_path / "image", host, "apps/placed", signed_reference=reference)
    process = copy_with_policy(tmp_path, levels, reference)
    assert process.returncode == 0, process.stderr
    policy_edit.remove_rule(levels[0], keyring.read_rules(levels)[0])
    policy_edit.add_key(levels[0], key(1).public_key, f"{host}/apps")
    assert copy_with_policy(tmp_path, levels, reference).returncode != 0


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
    pushed(tmp_path / "image", host, repository, by=by, signed_reference=f"{host}/apps/placed:1.0")
    process = copy_with_policy(tmp_path, levels, f"{host}/{repository}:1.0")
    assert process.returncode != 0
    assert message in process.stderr


def test_skopeo_accepts_an_image_of_a_mirror(
    host: str, tmp_path: Path, levels: tuple[PolicyDirectory, ...]
) -> None:
    policy_edit.add_key(levels[0], key(0).public_key, "example.com")
    policy_edit.set_mirror(levels[0], f"{host}/mirror", "example.com")
    pushed(tmp_path / "image", host, "mirror/hello")  # signed only as example.com/hello:1.0
    process = copy_with_policy(tmp_path, levels, f"{host}/mirror/hello:1.0")
    assert process.returncode == 0, process.stderr
    pushed(tmp_path / "other", host, "mirror/bank")
    assert "is not accepted" in copy_with_policy(tmp_path, levels, f"{host}/mirror/bank:1.0").stderr


def test_skopeo_refuses_an_image_without_a_rule(
    host: str, tmp_path: Path, levels: tuple[PolicyDirectory, ...]
) -> None:
    pushed(tmp_path / "image", host, "apps/nobody", signed_reference=f"{host}/apps/nobody:1.0")
    assert "rejected by policy" in copy_with_policy(tmp_path, levels, f"{host}/apps/nobody:1.0").stderr


@pytest.mark.parametrize("how", ["build", "sign", "push"])
def test_skopeo_accepts_images_signed_in_a_registry(host: str, tmp_path: Path, how: str) -> None:
    world = TrustWorld(tmp_path)
    world.must("key", "generate", "--output", "release")
    reference = f"{host}/apps/{how}:1.0"
    built = ("build", "recipe.yaml", "-o", f"docker://{reference}")
    wrong_passphrase = {"PUMICE_KEY_PASSPHRASE": "wrong"}
    signing: dict[str, tuple[str, ...]] = {
        "build": (*built, "--sign", "release.key"),
        "sign": ("sign", f"docker://{reference}", "--key", "release.key"),
        "push": ("push", "example.com/hello:1.0", f"{host}/apps/push", "--sign", "release.key"),
    }
    if how != "build":
        world.must(*(built if how == "sign" else built[:2]))
    digest = world.must(*signing[how])
    world.trust("release.pub", f"{host}/apps")
    process = copy_with_policy(tmp_path, (world.rules,), reference)
    assert process.returncode == 0, process.stderr
    assert "signed   by" in world.must("verify", f"docker://{reference}", store="other")
    second_signing = world.do(
        *signing[how], environment=wrong_passphrase
    )  # already signed, so the key is not needed
    assert (second_signing.code, second_signing.stdout) == (0, digest), second_signing.stderr
