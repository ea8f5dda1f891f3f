"""Sign archives with OpenPGP keys and verify them; tests with gpg are in ``tests/interop``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.trust_world import TrustWorld

ARCHIVE = "oci-archive:image.tar"
OTHER = "other"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    world = TrustWorld(tmp_path_factory.mktemp("world"))
    for name in ("ada", "eve"):
        world.must("key", "generate", "--openpgp", f"{name.title()} <{name}@example.com>", "--output", name)
    world.must("build", "recipe.yaml", "--sign", "ada.key", "-o", ARCHIVE)
    return world


@pytest.fixture
def world(built: TrustWorld) -> TrustWorld:
    """Return a world without rules, whose archive is signed only by ada."""
    shutil.rmtree(built.config, ignore_errors=True)
    shutil.rmtree(built.root / OTHER, ignore_errors=True)
    (built.project / "image.tar.asc").unlink(missing_ok=True)
    built.must("build", "recipe.yaml", "--sign", "ada.key", "-o", ARCHIVE)
    return built


def fingerprint(world: TrustWorld, name: str) -> str:
    from pumice.trust import public_keys

    return public_keys.read_public_key(world.project / f"{name}.pub").fingerprint


def trust(world: TrustWorld, *arguments: str, key: str = "ada") -> str:
    return world.must("trust", "add", *arguments, f"{key}.pub", "--fingerprint", fingerprint(world, key))


def test_signing_again_changes_nothing_and_needs_no_passphrase(world: TrustWorld) -> None:
    signature = world.project / "image.tar.asc"
    before = signature.read_bytes()
    pumice_run = world.do("sign", ARCHIVE, "--key", "ada.key", environment={"PUMICE_KEY_PASSPHRASE": "wrong"})
    assert "already signed" in pumice_run.stderr
    assert signature.read_bytes() == before
    assert (world.project / "ada.key").stat().st_mode & 0o777 == 0o600


def test_verify_prints_signer_time_and_rule(world: TrustWorld) -> None:
    stdout = world.must("verify", ARCHIVE, "--key", "ada.pub", store=OTHER)
    assert re.search(rf"signed   by ada.pub {fingerprint(world, 'ada')} \(--key ada.pub\) on 20\d\d-", stdout)
    printed = json.loads(world.must("verify", ARCHIVE, "--key", "ada.pub", "--format", "json", store=OTHER))
    ((form, created),) = [(entry["form"], entry["created"]) for entry in printed["signatures"]]
    assert form == "openpgp"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)


def test_a_signed_archive_keeps_its_name(world: TrustWorld) -> None:
    key = ("--key", "ada.pub")
    world.must("verify", ARCHIVE, *key, "--as", "example.com/hello:1.0", store=OTHER)
    stderr = world.refused("verify", ARCHIVE, *key, "--as", "example.com/bank:1.0", store=OTHER)
    assert "not as example.com/bank:1.0" in stderr
    stderr = world.refused("sign", ARCHIVE, "--key", "eve.key", "--as", "example.com/bank:1.0", code=2)
    assert "cannot sign an archive of example.com/hello:1.0 as example.com/bank:1.0" in stderr


def test_a_rule_lets_an_archive_run(world: TrustWorld) -> None:
    stderr = world.refused("run", ARCHIVE, "/bin/hello", store=OTHER)
    assert "no key is trusted for example.com/hello:1.0" in stderr
    trust(world, "--prefix", "example.com/hel")
    world.refused("run", ARCHIVE, "/bin/hello", store=OTHER)
    trust(world, "--prefix", "example.com/hello")
    # The image has no shell, so the program fails, but only after the image was admitted.
    assert "its interpreter" in world.do("run", ARCHIVE, "/bin/hello", store=OTHER).stderr
    assert "(user rule for example.com/hello)" in world.must("trust", "why", ARCHIVE, store=OTHER)
    assert fingerprint(world, "ada") in world.must("trust", "list")


def test_a_foreign_signature_does_not_hide_a_trusted_one(world: TrustWorld) -> None:
    signature = world.project / "image.tar.asc"
    own_signature = signature.read_bytes()
    signature.unlink()
    world.must("sign", ARCHIVE, "--key", "eve.key")
    assert "is not trusted" in world.refused("verify", ARCHIVE, "--key", "ada.pub", store=OTHER)
    signature.write_bytes(signature.read_bytes() + own_signature)
    stdout = world.must("verify", ARCHIVE, "--key", "ada.pub", store=OTHER)
    assert "signed   by ada.pub" in stdout
    assert "ignored  signature (openpgp): it is by the OpenPGP key" in stdout


def test_openpgp_keys_can_be_revoked_and_rotated(world: TrustWorld) -> None:
    key, new = fingerprint(world, "ada"), fingerprint(world, "eve")
    trust(world, "--prefix", "example.com")
    world.must("verify", ARCHIVE, store=OTHER)
    world.must("trust", "rotate", key, "eve.pub", "--fingerprint", new, "--overlap", "0")
    assert "expired on" in world.refused("verify", ARCHIVE, store=OTHER)
    world.must("sign", ARCHIVE, "--key", "eve.key")
    world.must("verify", ARCHIVE, store=OTHER)
    world.must("trust", "revoke", new, "--reason", "stolen")
    assert "is revoked (stolen)" in world.refused("verify", ARCHIVE, "--key", "eve.pub", store=OTHER)


def test_an_empty_rule_file_hides_an_openpgp_key(world: TrustWorld) -> None:
    trust(world, "--root")
    path = world.config / "pumice" / "trust" / "root.d" / fingerprint(world, "ada")
    path.write_bytes(b"")
    world.refused("verify", ARCHIVE, store=OTHER)


def test_a_threshold_of_two_requires_two_openpgp_signatures(world: TrustWorld) -> None:
    trust(world, "--prefix", "example.com", "--threshold", "2")
    trust(world, "--prefix", "example.com", key="eve")
    assert "signed by 1 of 2 required keys" in world.refused("verify", ARCHIVE, store=OTHER)
    world.must("sign", ARCHIVE, "--key", "eve.key")
    assert world.must("verify", ARCHIVE, store=OTHER).count("signed   by") == 2


def test_a_policy_for_podman_omits_openpgp_keys(world: TrustWorld) -> None:
    trust(world, "--prefix", "example.com")
    pumice_run = world.do("trust", "export")
    assert json.loads(pumice_run.stdout) == {"default": [{"type": "reject"}], "transports": {}}
    assert "OpenPGP keys are left out" in pumice_run.stderr


def test_keys_are_listed_exported_and_imported(world: TrustWorld) -> None:
    new_fingerprint = world.must("key", "generate", "--openpgp", "Kay <kay@example.com>")
    assert new_fingerprint in world.must("key", "list")
    public = world.must("key", "export", "default")
    assert public.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    private = world.must("key", "export", "default", "--private")
    assert private.startswith("-----BEGIN PGP PRIVATE KEY BLOCK-----")
    (world.project / "kay.asc").write_text(private)
    for name in ("kay.key", "kay.pub"):
        (world.project / name).unlink(missing_ok=True)
    assert world.must("key", "import", "kay.asc", "--output", "kay") == new_fingerprint
    stderr = world.refused(
        "key", "import", "kay.asc", "--output", "again", environment={"PUMICE_KEY_PASSPHRASE": "wrong"}
    )
    assert "wrong passphrase" in stderr
    assert not (world.project / "again.key").exists()


def test_build_signs_every_archive(world: TrustWorld) -> None:
    world.must("build", "recipe.yaml", "--sign", "ada.key", "-o", "docker-archive:d.tar", "-o", "tar:t.tar")
    assert (world.project / "d.tar.asc").exists()
    assert (world.project / "t.tar.asc").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("sign", "oci:out", "--key", "ada.key"), 2, "an OpenPGP key can only sign archives"),
        (("sign", "example.com/hello:1.0", "--key", "ada.key"), 2, "can only sign archives"),
        (("sign", "oci-archive:nothing", "--key", "ada.key"), 10, "the file does not exist"),
        (("sign", "oci-archive:ada.key", "--key", "ada.key"), 8, ""),
        (("sign", ARCHIVE, "--key", "ada.pub"), 8, "the file is a public key"),
        (("build", "recipe.yaml", "--sign", "ada.key"), 2, "can only sign archives"),
        (("build", "recipe.yaml", "--sign", "ada.key", "-o", "oci:out"), 2, "can only sign archives"),
        (("build", "recipe.yaml", "--sign", "ada.key", "-o", "tar:-"), 2, "can only sign archives"),
        (("verify", ARCHIVE, "--key", "ada.key"), 8, "the file is a private key"),
        (("verify", ARCHIVE, "--key", "ada.pub", "--signature", "nowhere"), 7, "no such signature file"),
        (
            ("verify", ARCHIVE, "--key", "eve.pub", "--signature", "image.tar"),
            7,
            "not a valid OpenPGP signature",
        ),
        (("verify", ARCHIVE, "--key", "eve.pub", "--signature", "."), 10, "not a regular file"),
        (("verify", "store:example.com/hello:1.0", "--signature", "x"), 10, "is not in the local store"),
        (("key", "generate", "--openpgp", ""), 2, "invalid user ID"),
        (("key", "generate", "--openpgp", "A <a@example.com>", "--output", "ada"), 2, "the file exists"),
        (("key", "export", "gpg:ada", "--private"), 2, "cannot export a secret key of gpg"),
        (("trust", "add", "--root", "ada.key"), 8, "the file is a private key"),
        (("trust", "revoke", "0" * 39), 7, "no rule for key"),
    ],
)
def test_openpgp_commands_report_errors(
    world: TrustWorld, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in world.refused(*arguments, code=code, store=OTHER)


def test_an_unsigned_archive_is_refused(world: TrustWorld) -> None:
    (world.project / "image.tar.asc").unlink()
    assert "the image is not signed" in world.refused("verify", ARCHIVE, "--key", "ada.pub", store=OTHER)


# The kernel also counts the file that the library maps into memory, so the test measures allocations.
PROBE = """
import re, resource, sys
from pathlib import Path
from pumice.formats import openpgpsig
from pumice.trust import openpgp, public_keys
ring = openpgp.make_keyring([public_keys.read_public_key(Path(sys.argv[1]))])
used = int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (48 << 20),) * 2)
large = Path(sys.argv[2])
for one in openpgpsig.read_signatures(Path(f"{large}.asc").read_bytes()):
    assert openpgpsig.matches_file(large, one.data)
    openpgpsig.verify_file(large, one, ring, now=1_900_000_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_archive(world: TrustWorld) -> None:
    large = world.project / "large"
    with large.open("wb") as file:
        file.truncate(300 << 20)
    from pumice.trust import openpgp

    key = openpgp.SecretKey((world.project / "ada.key").read_bytes(), Path("ada.key"))
    Path(f"{large}.asc").write_bytes(key.sign_file(large, lambda: b"correct horse"))
    subprocess.run(
        [sys.executable, "-c", PROBE, "ada.pub", "large"],
        cwd=world.project,
        check=True,
    )
    large.unlink()


@pytest.fixture(scope="module")
def signed_aci(built: TrustWorld) -> TrustWorld:
    built.must("build", "recipe.yaml", "--sign", "ada.key", "-o", "aci:image.aci")
    return built


def test_an_app_container_image_is_signed_and_trusted_by_its_name(signed_aci: TrustWorld) -> None:
    world = signed_aci
    shutil.rmtree(world.config, ignore_errors=True)
    assert (world.project / "image.aci.asc").read_bytes().startswith(b"-----BEGIN PGP SIGNATURE-----")
    assert world.do("verify", "aci:image.aci", store=OTHER).code == 7
    trust(world, "--prefix", "example.org")
    assert world.do("verify", "aci:image.aci", store=OTHER).code == 7
    trust(world, "--prefix", "example.com")
    assert "user rule for example.com" in world.must("verify", "aci:image.aci", store=OTHER)


def test_a_changed_app_container_image_is_not_trusted(signed_aci: TrustWorld) -> None:
    world = signed_aci
    world.must("aci", "patch-manifest", "--user", "7", "image.aci", "changed.aci")
    shutil.copy(world.project / "image.aci.asc", world.project / "changed.aci.asc")
    pumice_run = world.do("verify", "aci:changed.aci", "--key", "ada.pub", store=OTHER)
    assert pumice_run.code == 7
    assert "signature" in pumice_run.stderr
