"""The command ``pumice key``."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.support.signed_images import DATA
from tests.support.trust_world import SECRET, TrustWorld


@pytest.fixture
def world(tmp_path: Path) -> TrustWorld:
    return TrustWorld(tmp_path)


def test_a_key_pair_is_generated_listed_and_exported(world: TrustWorld) -> None:
    fingerprint = world.must("key", "generate", umask=0)
    assert fingerprint in world.must("key", "list")
    folder = world.config / "pumice" / "keys"
    assert stat.S_IMODE((folder / "default.key").stat().st_mode) == 0o600
    public = world.must("key", "export", "default")
    assert public.encode() == (folder / "default.pub").read_bytes().strip()
    assert world.must("key", "export", "--private", "default").startswith("-----BEGIN ENCRYPTED SIGSTORE")
    assert "the file exists" in world.refused("key", "generate", code=2)
    assert not any(SECRET.encode() in path.read_bytes() for path in folder.iterdir())


def test_an_empty_list_of_keys_is_not_an_error(world: TrustWorld) -> None:
    assert world.must("key", "list") == ""


def test_a_key_of_cosign_is_imported_under_a_new_passphrase(world: TrustWorld) -> None:
    (world.project / "secret").write_text("hunter2\n")
    world.must("key", "import", str(DATA / "cosign.key"), "--output", "mine", "--passphrase-file", "secret")
    assert world.must("key", "export", "mine.pub").encode() == (DATA / "cosign.pub").read_bytes().strip()
    assert "does not open the key" in world.refused("key", "import", "mine.key", "--output", "again")


def test_a_public_key_is_imported_alone(world: TrustWorld) -> None:
    world.must("key", "import", str(DATA / "cosign.pub"), "--output", "theirs")
    assert not (world.project / "theirs.key").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("key",), 2, "ACTION is missing"),
        (("key", "export"), 2, "KEY is missing"),
        (("key", "list", "x"), 2, "'x' is an unexpected argument"),
        (("key", "export", "none"), 7, "no such key 'none'"),
        (("key", "import", "recipe.yaml"), 8, "recipe.yaml: the file has no PEM or OpenPGP key"),
        (("key", "import", "/dev/null", "--output", "x"), 8, "the file has no PEM or OpenPGP key"),
        (("key", "generate", "--passphrase-file", "none"), 7, "none: cannot read"),
    ],
)
def test_key_commands_report_errors(
    world: TrustWorld, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in world.refused(*arguments, code=code)


def test_without_a_passphrase_or_terminal_nothing_is_written(world: TrustWorld) -> None:
    pumice_run = world.run("key", "generate", "--output", "x")
    assert pumice_run.code == 2
    assert "there is no terminal" in pumice_run.stderr
    assert not (world.project / "x.key").exists()


def test_an_openssh_key_is_reported_as_unsupported(world: TrustWorld) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (world.project / "ssh").write_bytes(key)
    stderr = world.refused("key", "import", "ssh", "--output", "x", code=8)
    assert "ssh: cannot read an OpenSSH private key" in stderr
    assert "ssh-keygen -p -m pkcs8 -f COPY" in stderr
