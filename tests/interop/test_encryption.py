"""Encrypted images, with skopeo, buildah and gpg on the other side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pumice.cli.main import main
from tests.support import aci
from tests.support.handmade import file, folder
from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
RECIPIENTS = {"rsa": "jwe:rsa.pub", "ec": "jwe:ec.pub", "pgp": "pgp:pgp.pub"}


def gpg(*arguments: str) -> bytes:
    command = [need("gpg"), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "secret"]
    return subprocess.run([*command, *arguments], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a directory with key pairs, and a keyring of gpg that has no Ed25519 key."""
    directory = tmp_path_factory.mktemp("keys")
    pairs: dict[str, Any] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "other": ec.generate_private_key(ec.SECP256R1()),
    }
    for name, key in pairs.items():
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (directory / f"{name}.key").write_bytes(private)
        (directory / f"{name}.pub").write_bytes(public)
    home = directory / "gnupg"
    home.mkdir(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(home))
        parameters = (
            "%no-protection\nKey-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nSubkey-Type: RSA\n"
            "Subkey-Length: 2048\nSubkey-Usage: encrypt\nName-Email: ada@example.com\n%commit\n"
        )
        (directory / "parameters").write_text(parameters)
        gpg("--gen-key", str(directory / "parameters"))
        (directory / "pgp.pub").write_bytes(gpg("--export", "ada@example.com"))
        (directory / "pgp.key").write_bytes(gpg("--export-secret-keys", "ada@example.com"))
        yield directory
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)


@pytest.fixture
def directory(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with the keys and the image ``oci:plain:1``."""
    for path in keys.glob("*.*"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    items = [folder(""), file("secret", b"the content" * 100_000)]
    aci.image(
        tmp_path / "plain.aci",
        items,
        name="example.com/plain",
        labels=LABELS,
        app={"user": "0", "group": "0"},
    )
    assert main(("convert", "aci:plain.aci", "oci:plain:1")) == 0
    return tmp_path


def skopeo(*arguments: str) -> None:
    command = [need("skopeo"), "--insecure-policy", "copy", "--quiet", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def copy(*arguments: str, code: int = 0) -> None:
    assert main(("copy", "--progress", "none", *arguments)) == code


def read_manifest(name: str) -> dict[str, Any]:
    index = json.loads(Path(name, "index.json").read_text())
    blob = index["manifests"][0]["digest"].removeprefix("sha256:")
    document: dict[str, Any] = json.loads(Path(name, "blobs/sha256", blob).read_text())
    return document


@pytest.mark.parametrize("kind", RECIPIENTS)
@pytest.mark.peer("skopeo")
def test_skopeo_decrypts_what_pumice_encrypts_and_the_reverse(directory: Path, kind: str) -> None:
    copy("--encryption-key", RECIPIENTS[kind], "oci:plain:1", "oci:ours:1")
    (layer,) = read_manifest("ours")["layers"]
    assert layer["mediaType"].endswith("tar+gzip+encrypted")
    skopeo("--decryption-key", f"{kind}.key", "oci:ours:1", "oci:theirs:1")
    plain = read_manifest("plain")["layers"]
    assert [each["digest"] for each in read_manifest("theirs")["layers"]] == [plain[0]["digest"]]
    recipient = "pgp:ada@example.com" if kind == "pgp" else RECIPIENTS[kind]
    skopeo("--encryption-key", recipient, "oci:plain:1", "oci:hidden:1")
    copy("--decryption-key", f"{kind}.key", "oci:hidden:1", "oci:back:1")
    assert read_manifest("back")["layers"] == plain


def test_decrypting_gives_the_image_with_its_digest(directory: Path) -> None:
    recipients = [word for text in RECIPIENTS.values() for word in ("--encryption-key", text)]
    copy(*recipients, "oci:plain:1", "oci:hidden:1")
    for kind in RECIPIENTS:
        copy("--decryption-key", f"{kind}.key", "oci:hidden:1", f"oci:{kind}:1")
        assert read_manifest(kind) == read_manifest("plain")


@pytest.mark.peer("buildah")
def test_buildah_pulls_and_pushes_encrypted_images(directory: Path) -> None:
    buildah = [need("buildah"), "--root", str(directory / "b"), "--runroot", str(directory / "r")]
    copy("--encryption-key", "jwe:rsa.pub", "oci:plain:1", "oci:hidden:1")
    pull = [*buildah, "--storage-driver", "vfs", "pull", "--decryption-key", "rsa.key", "oci:hidden:1"]
    result = subprocess.run(pull, check=True, capture_output=True, timeout=120)
    image = result.stdout.decode().split()[-1]
    push = [
        *buildah,
        "--storage-driver",
        "vfs",
        "push",
        "--encryption-key",
        "jwe:ec.pub",
        image,
        "oci:pushed:1",
    ]
    subprocess.run(push, check=True, capture_output=True, timeout=120)
    copy("--decryption-key", "ec.key", "oci:pushed:1", "oci:back:1")
    assert not any("encrypted" in layer["mediaType"] for layer in read_manifest("back")["layers"])


def test_a_layer_that_was_changed_and_a_wrong_key_are_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy("--encryption-key", "jwe:ec.pub", "oci:plain:1", "oci:hidden:1")
    copy("--decryption-key", "other.key", "oci:hidden:1", "oci:back:1", code=7)
    assert "no decryption key fits the layer" in capsys.readouterr().err
    assert not Path("back").exists()
    assert main(("files", "oci:hidden:1")) == 10
    assert "is encrypted" in capsys.readouterr().err
    blob = read_manifest("hidden")["layers"][0]["digest"].removeprefix("sha256:")
    path = Path("hidden/blobs/sha256", blob)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    copy("--decryption-key", "ec.key", "oci:hidden:1", "oci:back:1", code=7)


@pytest.mark.peer("gpg")
def test_gpg_decrypts_app_container_images_and_the_reverse(directory: Path) -> None:
    plain = Path("plain.aci").read_bytes()
    Path("passphrase").write_text("secret\n")
    with_passphrase = ("--passphrase-file", "passphrase")
    assert main(("aci", "encrypt", *with_passphrase, "plain.aci", "hidden.aci")) == 0
    assert gpg("--decrypt", "hidden.aci") == plain
    gpg("--symmetric", "--cipher-algo", "AES256", "--output", "theirs.aci", "plain.aci")
    assert main(("aci", "decrypt", *with_passphrase, "theirs.aci", "back.aci")) == 0
    assert Path("back.aci").read_bytes() == plain
    assert (
        main(("aci", "encrypt", "--non-standard", "--recipient", "ada@example.com", "plain.aci", "to.aci"))
        == 0
    )
    assert gpg("--decrypt", "to.aci") == plain
    decrypt = ("aci", "decrypt", "--overwrite", "--decryption-key", "pgp.key")
    assert main((*decrypt, "to.aci", "back.aci")) == 0
    assert Path("back.aci").read_bytes() == plain


@pytest.mark.peer("gpg")
def test_decryption_has_limits_and_leaves_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("passphrase").write_text("secret\n")
    Path("zeros").write_bytes(bytes(64 << 20))
    gpg("--symmetric", "--output", "bomb.aci", "zeros")
    decrypt = ("aci", "decrypt", "--passphrase-file", "passphrase")
    names = set(Path().iterdir())
    assert main((*decrypt, "--max-size", "1", "bomb.aci", "new.aci")) == 8
    assert "the decrypted message has more than" in capsys.readouterr().err
    assert main(("aci", "encrypt", "--passphrase-file", "passphrase", "plain.aci", "hidden.aci")) == 0
    data = bytearray(Path("hidden.aci").read_bytes())
    data[-40] ^= 1
    Path("changed.aci").write_bytes(data)
    Path("wrong").write_text("other\n")
    assert main((*decrypt, "changed.aci", "new.aci")) == 7
    assert main(("aci", "decrypt", "--passphrase-file", "wrong", "hidden.aci", "new.aci")) == 7
    assert main((*decrypt, "plain.aci", "new.aci")) == 8
    assert "is not an OpenPGP message" in capsys.readouterr().err
    assert set(Path().iterdir()) - names == set(map(Path, ("hidden.aci", "changed.aci", "wrong")))
