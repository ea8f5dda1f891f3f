"""Real gpg and gpgv verify what Pumice signs, and the reverse; keys go both ways."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import openpgpsig
from tests.support import gnupg
from tests.support.gnupg import Gpg
from tests.support.peers import need
from tests.support.trust_world import SECRET, TrustWorld

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gpg]:
    yield from gnupg.running_gpg()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    world = TrustWorld(tmp_path_factory.mktemp("world"))
    world.must("key", "generate", "--openpgp", "Ada <ada@example.com>", "--output", "ada")
    world.must("build", "recipe.yaml", "--sign", "ada.key", "-o", "oci-archive:image.tar")
    return world


def copied(world: TrustWorld, name: str, *, signed: bool = True) -> Path:
    """Return a copy of the archive for one test."""
    target = world.project / name
    shutil.copy(world.project / "image.tar", target)
    if signed:
        shutil.copy(world.project / "image.tar.asc", f"{target}.asc")
    return target


def fingerprint(world: TrustWorld, name: str) -> str:
    from pumice.trust import public_keys

    return public_keys.read_public_key(world.project / name).fingerprint


def test_gpg_and_gpgv_verify_our_signatures(built: TrustWorld, gpg: Gpg) -> None:
    file = built.project / "image.tar"
    gpg.run("--import", data=built.must("key", "export", "ada.pub").encode())
    assert gpg.verify(Path(f"{file}.asc"), file) == (True, {fingerprint(built, "ada.pub")})
    ring = gpg.home / "ada.gpg"
    ring.write_bytes(gpg.run("--export", fingerprint(built, "ada.pub")).stdout)
    subprocess.run([need("gpgv"), "--keyring", str(ring), f"{file}.asc", str(file)], check=True)
    changed_archive = copied(built, "changed.tar")
    changed_archive.write_bytes(changed_archive.read_bytes()[:-1] + b"x")
    assert gpg.verify(Path(f"{changed_archive}.asc"), changed_archive)[0] is False
    assert "is not what" in built.refused("verify", "oci-archive:changed.tar", "--key", "ada.pub", store="o")


def test_gpg_signs_with_our_secret_key(built: TrustWorld, gpg: Gpg) -> None:
    gpg.run("--passphrase", SECRET, "--import", str(built.project / "ada.key"))
    file = copied(built, "theirs.tar", signed=False)
    gpg.run("--passphrase", SECRET, "-u", "ada@example.com", "-a", "-b", str(file))
    assert "signed   by" in built.must("verify", f"oci-archive:{file}", "--key", "ada.pub", store="o")


def test_pumice_signs_with_a_key_of_gpg_agent(built: TrustWorld, gpg: Gpg) -> None:
    key = gpg.generate("Bob <bob@example.com>")
    home = {"GNUPGHOME": str(gpg.home)}
    file = copied(built, "agent.tar")
    exported_key = built.must("key", "export", f"gpg:{key}", environment=home)
    (built.project / "bob.pub").write_text(exported_key)
    built.must("sign", "oci-archive:agent.tar", "--key", "gpg:bob@example.com", environment=home)
    signers = {key.lower(), fingerprint(built, "ada.pub")}
    gpg.run("--import", str(built.project / "ada.pub"))
    assert gpg.verify(Path(f"{file}.asc"), file) == (True, signers)  # gpg requires a single block
    for name in ("bob.pub", "ada.pub"):
        assert "signed   by" in built.must("verify", "oci-archive:agent.tar", "--key", name, store="o")
    assert (
        "already" in built.do("sign", "oci-archive:agent.tar", "--key", f"gpg:{key}", environment=home).stderr
    )


def test_gpg_signs_at_source_date_epoch(built: TrustWorld, gpg: Gpg) -> None:
    key = gpg.generate("Time <time@example.com>")
    home = {"GNUPGHOME": str(gpg.home), "SOURCE_DATE_EPOCH": "1700000000"}
    signatures = []
    for name in ("one.tar", "two.tar"):
        file = copied(built, name, signed=False)
        built.must("sign", f"oci-archive:{name}", "--key", f"gpg:{key}", environment=home)
        signatures.append(Path(f"{file}.asc").read_bytes())
    assert signatures[0] == signatures[1]
    (built.project / "time.pub").write_bytes(gpg.run("--armor", "--export", key).stdout)
    assert "on 2023-11-14" in built.must("verify", "oci-archive:one.tar", "--key", "time.pub", store="o")
    home["SOURCE_DATE_EPOCH"] = "1000000000"
    copied(built, "old.tar", signed=False)
    stderr = built.refused("sign", "oci-archive:old.tar", "--key", f"gpg:{key}", environment=home)
    assert "newer than SOURCE_DATE_EPOCH" in stderr


def test_a_passphrase_is_passed_to_gpg_outside_the_command_line(built: TrustWorld, gpg: Gpg) -> None:
    key = gpg.generate("Secret <secret@example.com>", passphrase=SECRET)
    home = {"GNUPGHOME": str(gpg.home)}
    copied(built, "secret.tar", signed=False)
    subprocess.run(
        ["gpgconf", "--homedir", str(gpg.home), "--kill", "gpg-agent"], check=True
    )  # the agent caches the passphrase
    (built.project / "wrong").write_text("wrong\n")
    sign_command = ("sign", "oci-archive:secret.tar", "--key", f"gpg:{key}")
    assert "gpg cannot sign" in built.refused(*sign_command, "--passphrase-file", "wrong", environment=home)
    built.must(*sign_command, environment=home)


@pytest.mark.parametrize(
    ("key", "code", "message"),
    [
        ("gpg:nobody@example.com", 7, "gpg has no secret key"),
        ("gpg:", 2, "needs a fingerprint"),
        ("gpg:example.com", 2, "matches 2 secret keys of gpg"),
        ("gpg:encrypt@other.invalid", 7, "cannot sign: it is expired"),
        ("gpg:--version", 7, "gpg has no secret key"),
    ],
)
def test_keys_that_gpg_cannot_sign_with_are_reported(
    built: TrustWorld, key: str, code: int, message: str
) -> None:
    for gpg in gnupg.running_gpg():
        gpg.generate("Bob <bob@example.com>")
        gpg.generate("Eve <eve@example.com>")
        gpg.generate("Eve <encrypt@other.invalid>", "cert")
        copied(built, "never.tar", signed=False)
        home = {"GNUPGHOME": str(gpg.home)}
        stderr = built.refused("sign", "oci-archive:never.tar", "--key", key, environment=home, code=code)
        assert message in stderr
        assert not (built.project / "never.tar.asc").exists()


def test_exported_secret_keys_of_gpg_can_sign(built: TrustWorld, gpg: Gpg) -> None:
    key = gpg.generate("Rae <rae@example.com>", passphrase=SECRET)
    secret = gpg.run("--passphrase", SECRET, "--armor", "--export-secret-keys", key).stdout
    (built.project / "rae.asc").write_bytes(secret)
    assert built.must("key", "import", "rae.asc", "--output", "rae") == key.lower()
    assert (built.project / "rae.key").stat().st_mode & 0o777 == 0o600
    file = copied(built, "rae.tar", signed=False)
    built.must("sign", "oci-archive:rae.tar", "--key", "rae.key")
    assert gpg.verify(Path(f"{file}.asc"), file) == (True, {key.lower()})


def test_unusual_signatures_are_verified_as_by_gpg_or_more_strictly(built: TrustWorld, gpg: Gpg) -> None:
    key = gpg.generate("Odd <odd@example.com>")
    (built.project / "odd.pub").write_bytes(gpg.run("--armor", "--export", key).stdout)
    for name, options, refusal in (
        ("sha1", ["--digest-algo", "SHA1", "--allow-weak-digest-algos"], "which is broken"),
        (
            "over",
            ["--faked-system-time", "20210101T000000!", "--default-sig-expire", "20210201T000000"],
            "has expired",
        ),
    ):
        file = copied(built, f"{name}.tar", signed=False)
        gpg.run(*options, "-u", key, "-a", "-b", str(file))
        assert refusal in built.refused("verify", f"oci-archive:{name}.tar", "--key", "odd.pub", store="o")


def test_a_text_signature_is_refused(gpg: Gpg, tmp_path: Path) -> None:
    """A text signature is valid for any line ends, so the file could be changed."""
    key = gpg.generate("Text <text@example.com>")
    file = tmp_path / "file"
    file.write_bytes(b"one\ntwo\n")
    gpg.run("--textmode", "-u", key, "-a", "-b", str(file))
    (signature,) = openpgpsig.read_signatures(Path(f"{file}.asc").read_bytes())
    assert signature.problem == "not a signature of a binary file (its type is Text)"
    file.write_bytes(b"one\r\ntwo\r\n")
    assert gpg.verify(Path(f"{file}.asc"), file)[0]
