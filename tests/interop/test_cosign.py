"""cosign 2 and 3 verify what we sign, and we verify what they sign; all offline but for a registry here."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pumice.errors import TrustError
from pumice.image.transports import attachment, layout, layout_writer
from pumice.progress import Silent
from pumice.store.home import Home
from pumice.trust import image_names, image_signing, image_verification, keys, public_keys, signing_time
from pumice.trust.trusted_key import TrustedKey
from tests.support import handmade, locations, pushing, registry, signed_images
from tests.support.handmade import ImageContents, file
from tests.support.peers import need
from tests.support.serving import serving
from tests.support.transfers import copy
from tests.support.trust_world import TrustWorld, signed_world

SECRET = b"secret"
PROGRAMS = ["cosign2", "cosign3"]
OFFLINE_ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.debian(tmp_path_factory.mktemp("registry")) as address:
        yield address


def cosign(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "COSIGN_PASSWORD": SECRET.decode(), "HOME": str(folder)}
    return subprocess.run(
        [need(program), *arguments], env=environ, cwd=folder, capture_output=True, text=True, check=False
    )


def pair(folder: Path, kind: str = "ecdsa-p256") -> keys.PrivateKey:
    imported = kind == "ecdsa-p521"
    made = keys.PrivateKey(ec.generate_private_key(ec.SECP521R1())) if imported else keys.generate_key(kind)
    keys.write_pair(folder / "pair", made, SECRET)
    return made


@pytest.mark.parametrize("kind", [*keys.GENERATED_KINDS, "ecdsa-p521"])
@pytest.mark.parametrize(
    ("program", "forms"),
    [
        (program, forms)
        for program in PROGRAMS
        for forms in (("sig",), ("bundle",), ("sig", "bundle"))
        if (program, forms) != ("cosign2", ("bundle",))  # which does not know bundles of images
    ],
)
def test_cosign_verifies_our_signatures(
    host: str, tmp_path: Path, program: str, kind: str, forms: tuple[str, ...]
) -> None:
    key = pair(tmp_path, kind)
    place = signed_images.folder(tmp_path / "image")
    image = layout.read_layout(place)
    when = signing_time.SigningTime(now=1_700_000_000)
    image_signing.sign_image(
        image,
        attachment.LayoutAttachment(place, image),
        None,
        image_signing.Signer(key.public_key, lambda: key),
        time=when,
    )
    repository = f"{program}/{kind}-{'-'.join(forms)}"
    pushing.push(place, host, repository, "1.0", kinds=forms)
    (tmp_path / "root.json").write_text(OFFLINE_ROOT)
    done = cosign(
        *(program, tmp_path, "verify", "--key", "pair.pub", "--insecure-ignore-tlog=true"),
        *(() if forms == ("sig",) else ("--trusted-root", "root.json")),
        f"{host}/{repository}:1.0",
    )
    assert done.returncode == 0, done.stderr
    assert image.root.digest in done.stdout
    keys.write_pair(tmp_path / "other", keys.generate_key(), SECRET)
    again = cosign(
        *(program, tmp_path, "verify", "--key", "other.pub", "--insecure-ignore-tlog=true"),
        f"{host}/{repository}:1.0",
    )
    assert again.returncode != 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_cosign_verifies_our_attestations(host: str, tmp_path: Path, program: str) -> None:
    key = pair(tmp_path)
    place = signed_images.folder(tmp_path / "image")
    image = layout.read_layout(place)
    signer = image_signing.Signer(key.public_key, lambda: key)
    image_signing.attest_image(
        *(image, attachment.LayoutAttachment(place, image), None, signer),
        predicate_type="https://example.com/review",
        predicate={"score": 1.5},
    )
    forms = ("sig",) if program == "cosign2" else ("bundle",)
    pushing.push(place, host, f"{program}/attested", "1.0", kinds=forms)
    done = cosign(
        *(program, tmp_path, "verify-attestation", "--key", "pair.pub", "--insecure-ignore-tlog=true"),
        *("--type", "https://example.com/review", f"{host}/{program}/attested:1.0"),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_we_verify_cosigns_signatures(host: str, tmp_path: Path, program: str) -> None:
    key = pair(tmp_path)
    image = handmade.image(ImageContents([[file(program)]]))
    locations.write(image, f"oci:{tmp_path}/image", version="1.0")
    place = f"{host}/{program}/theirs:1.0"
    pushing.push(tmp_path / "image", host, f"{program}/theirs", "1.0")
    extra = ["--tlog-upload=false"]
    if program == "cosign3":
        services = ["--no-default-fulcio", "--no-default-oidc", "--no-default-rekor", "--no-default-tsa"]
        cosign(program, tmp_path, "signing-config", "create", *services, "--out", "services.json")
        extra = ["--signing-config", "services.json"]
    done = cosign(program, tmp_path, "sign", "--yes", "--key", "pair.key", *extra, place)
    assert done.returncode == 0, done.stderr
    assert cosign(program, tmp_path, "save", "--dir", "saved", place).returncode == 0
    saved = layout.read_layout(tmp_path / "saved")
    trusted = [TrustedKey(key=key.public_key, rule="x")]
    verdict = image_verification.verify_image(saved, None, trusted, expected="", now=0)
    assert verdict.name in ("", image_names.split_name(place)[0])
    with pytest.raises(TrustError):
        image_verification.verify_image(saved, None, trusted, expected="example.com/other:1.0", now=0)


@pytest.mark.parametrize("ours", [False, True], ids=["debian", "ours"])
def test_signatures_of_both_sides_of_a_copy_verify(host: str, tmp_path: Path, ours: bool) -> None:
    image = handmade.image(ImageContents([[file("both")]]))
    locations.write(image, f"oci:{tmp_path}/image", version="1.0")
    with serving(tmp_path / "root") as one, Home(tmp_path / "store") as home:
        to = one.host if ours else host
        for number, place in enumerate((f"{host}/here/one", f"{to}/there/two")):
            folder = tmp_path / str(number)
            folder.mkdir()
            pair(folder)
            copy(f"oci:{tmp_path}/image:1.0", f"docker://{place}:1.0", home)
            signing = ("sign", "--yes", "--key", "pair.key", "--tlog-upload=false", f"{place}:1.0")
            done = cosign("cosign2", folder, *signing)
            assert done.returncode == 0, done.stderr
        copy(f"docker://{host}/here/one:1.0", f"docker://{to}/there/two:1.0", home)
        for number in range(2):
            checked = ("--key", "pair.pub", "--insecure-ignore-tlog=true", f"{to}/there/two:1.0")
            done = cosign("cosign2", tmp_path / str(number), "verify", *checked)
            assert done.returncode == 0, done.stderr
            done = cosign("cosign3", tmp_path / str(number), "verify", *checked)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_keys_are_exchanged_in_both_directions(tmp_path: Path, program: str) -> None:
    cosign(program, tmp_path, "generate-key-pair")
    theirs = keys.read_private_key(tmp_path / "cosign.key", lambda: SECRET)
    assert theirs.public_key == public_keys.read_public_key(tmp_path / "cosign.pub")
    for kind in keys.GENERATED_KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        ours = pair(folder, kind)
        done = cosign(program, folder, "public-key", "--key", "pair.key")
        assert done.stdout.encode() == ours.public_key.pem()


def test_skopeo_copies_a_signed_layout(tmp_path: Path) -> None:
    place = signed_images.folder(tmp_path / "image")
    digest = signed_images.sign_folder(place, 0).root.digest
    subprocess.run(
        [need("skopeo"), "--insecure-policy", "copy", f"oci:{place}", f"oci:{tmp_path}/copy:1.0"],
        check=True,
        capture_output=True,
    )
    assert layout.read_layout(tmp_path / "copy").root.digest == digest


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    """A world with an image that saw ``pumice build --sign`` and nothing else."""
    return signed_world(tmp_path_factory.mktemp("built"))


@pytest.mark.parametrize("kind", ["slsaprovenance1", "spdxjson", "cyclonedx"])
@pytest.mark.parametrize(
    ("program", "forms"), [("cosign2", ("sig",)), ("cosign3", ("sig", "bundle")), ("cosign3", ("bundle",))]
)
def test_cosign_verifies_the_evidence_of_a_build(
    host: str, built: TrustWorld, program: str, forms: tuple[str, ...], kind: str
) -> None:
    repository = f"{program}/built-{'-'.join(forms)}"
    digest = pushing.push(built.project / "out", host, repository, "1.0", kinds=forms)
    checked = ("--key", "release.pub", "--insecure-ignore-tlog=true", f"{host}/{repository}:1.0")
    done = cosign(program, built.project, "verify-attestation", "--type", kind, *checked)
    assert done.returncode == 0, done.stderr
    payload = json.loads(base64.b64decode(json.loads(done.stdout.splitlines()[0])["payload"]))
    assert payload["subject"] == [{"digest": {"sha256": digest[7:]}, "name": "example.com/hello:1.0"}]
    assert cosign(program, built.project, "verify", *checked).returncode == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_layout_with_listed_referrers_is_verified(tmp_path: Path, program: str) -> None:
    made = pair(tmp_path)
    signed_images.folder(tmp_path / "plain")
    image = layout.read_layout(tmp_path / "plain")
    signer = image_signing.Signer(made.public_key, lambda: made)
    image_signing.sign_image(image, attachment.LayoutAttachment(tmp_path / "plain", image), None, signer)
    image = layout.read_layout(tmp_path / "plain")
    layout_writer.write_layout(
        image, tmp_path / "listed", "v1", records=None, progress=Silent(), referrers_in_index=True
    )
    how = ("verify", "--local-image", "--insecure-ignore-tlog=true", "--key", "pair.pub")
    done = cosign(program, tmp_path, *how, "listed")
    assert done.returncode == 0, done.stderr
    assert cosign(program, tmp_path, *how, "plain").returncode != 0
    again = layout.read_layout(tmp_path / "listed")
    assert {one.digest for one in again.beside} == {one.digest for one in image.beside}
    assert not any("kind" in one.annotations for one in again.beside)
