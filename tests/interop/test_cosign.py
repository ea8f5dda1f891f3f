"""cosign 2 and 3 verify our signatures, and Pumice verifies theirs, with only a local registry."""

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
    key = keys.PrivateKey(ec.generate_private_key(ec.SECP521R1())) if imported else keys.generate_key(kind)
    keys.write_pair(folder / "pair", key, SECRET)
    return key


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
    layout_folder = signed_images.folder(tmp_path / "image")
    image = layout.read_layout(layout_folder)
    when = signing_time.SigningTime(now=1_700_000_000)
    image_signing.sign_image(
        image,
        attachment.LayoutAttachment(layout_folder, image),
        None,
        image_signing.Signer(key.public_key, lambda: key),
        time=when,
    )
    repository = f"{program}/{kind}-{'-'.join(forms)}"
    pushing.push(layout_folder, host, repository, "1.0", kinds=forms)
    (tmp_path / "root.json").write_text(OFFLINE_ROOT)
    process = cosign(
        *(program, tmp_path, "verify", "--key", "pair.pub", "--insecure-ignore-tlog=true"),
        *(() if forms == ("sig",) else ("--trusted-root", "root.json")),
        f"{host}/{repository}:1.0",
    )
    assert process.returncode == 0, process.stderr
    assert image.root.digest in process.stdout
    keys.write_pair(tmp_path / "other", keys.generate_key(), SECRET)
    second_process = cosign(
        *(program, tmp_path, "verify", "--key", "other.pub", "--insecure-ignore-tlog=true"),
        f"{host}/{repository}:1.0",
    )
    assert second_process.returncode != 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_cosign_verifies_our_attestations(host: str, tmp_path: Path, program: str) -> None:
    key = pair(tmp_path)
    layout_folder = signed_images.folder(tmp_path / "image")
    image = layout.read_layout(layout_folder)
    signer = image_signing.Signer(key.public_key, lambda: key)
    image_signing.attest_image(
        *(image, attachment.LayoutAttachment(layout_folder, image), None, signer),
        predicate_type="https://example.com/review",
        predicate={"score": 1.5},
    )
    forms = ("sig",) if program == "cosign2" else ("bundle",)
    pushing.push(layout_folder, host, f"{program}/attested", "1.0", kinds=forms)
    process = cosign(
        *(program, tmp_path, "verify-attestation", "--key", "pair.pub", "--insecure-ignore-tlog=true"),
        *("--type", "https://example.com/review", f"{host}/{program}/attested:1.0"),
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_pumice_verifies_signatures_of_cosign(host: str, tmp_path: Path, program: str) -> None:
    key = pair(tmp_path)
    image = handmade.image(ImageContents([[file(program)]]))
    locations.write(image, f"oci:{tmp_path}/image", version="1.0")
    reference = f"{host}/{program}/theirs:1.0"
    pushing.push(tmp_path / "image", host, f"{program}/theirs", "1.0")
    extra = ["--tlog-upload=false"]
    if program == "cosign3":
        services = ["--no-default-fulcio", "--no-default-oidc", "--no-default-rekor", "--no-default-tsa"]
        cosign(program, tmp_path, "signing-config", "create", *services, "--out", "services.json")
        extra = ["--signing-config", "services.json"]
    process = cosign(program, tmp_path, "sign", "--yes", "--key", "pair.key", *extra, reference)
    assert process.returncode == 0, process.stderr
    assert cosign(program, tmp_path, "save", "--dir", "saved", reference).returncode == 0
    saved_image = layout.read_layout(tmp_path / "saved")
    trusted = [TrustedKey(key=key.public_key, rule="x")]
    verdict = image_verification.verify_image(saved_image, None, trusted, expected="", now=0)
    assert verdict.name in ("", image_names.split_name(reference)[0])
    with pytest.raises(TrustError):
        image_verification.verify_image(saved_image, None, trusted, expected="example.com/other:1.0", now=0)


@pytest.mark.parametrize("ours", [False, True], ids=["debian", "ours"])
def test_signatures_of_both_sides_of_a_copy_verify(host: str, tmp_path: Path, ours: bool) -> None:
    image = handmade.image(ImageContents([[file("both")]]))
    locations.write(image, f"oci:{tmp_path}/image", version="1.0")
    with serving(tmp_path / "root") as first_registry, Home(tmp_path / "store") as home:
        to = first_registry.host if ours else host
        for number, reference in enumerate((f"{host}/here/one", f"{to}/there/two")):
            folder = tmp_path / str(number)
            folder.mkdir()
            pair(folder)
            copy(f"oci:{tmp_path}/image:1.0", f"docker://{reference}:1.0", home)
            signing = ("sign", "--yes", "--key", "pair.key", "--tlog-upload=false", f"{reference}:1.0")
            process = cosign("cosign2", folder, *signing)
            assert process.returncode == 0, process.stderr
        copy(f"docker://{host}/here/one:1.0", f"docker://{to}/there/two:1.0", home)
        for number in range(2):
            checked = ("--key", "pair.pub", "--insecure-ignore-tlog=true", f"{to}/there/two:1.0")
            process = cosign("cosign2", tmp_path / str(number), "verify", *checked)
            assert process.returncode == 0, process.stderr
            process = cosign("cosign3", tmp_path / str(number), "verify", *checked)
            assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_keys_are_exchanged_in_both_directions(tmp_path: Path, program: str) -> None:
    cosign(program, tmp_path, "generate-key-pair")
    theirs = keys.read_private_key(tmp_path / "cosign.key", lambda: SECRET)
    assert theirs.public_key == public_keys.read_public_key(tmp_path / "cosign.pub")
    for kind in keys.GENERATED_KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        ours = pair(folder, kind)
        process = cosign(program, folder, "public-key", "--key", "pair.key")
        assert process.stdout.encode() == ours.public_key.pem()


def test_skopeo_copies_a_signed_layout(tmp_path: Path) -> None:
    layout_folder = signed_images.folder(tmp_path / "image")
    digest = signed_images.sign_folder(layout_folder, 0).root.digest
    subprocess.run(
        [need("skopeo"), "--insecure-policy", "copy", f"oci:{layout_folder}", f"oci:{tmp_path}/copy:1.0"],
        check=True,
        capture_output=True,
    )
    assert layout.read_layout(tmp_path / "copy").root.digest == digest


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    """Return a world with an image that ``pumice build --sign`` wrote."""
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
    process = cosign(program, built.project, "verify-attestation", "--type", kind, *checked)
    assert process.returncode == 0, process.stderr
    payload = json.loads(base64.b64decode(json.loads(process.stdout.splitlines()[0])["payload"]))
    assert payload["subject"] == [{"digest": {"sha256": digest[7:]}, "name": "example.com/hello:1.0"}]
    assert cosign(program, built.project, "verify", *checked).returncode == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_layout_with_listed_referrers_is_verified(tmp_path: Path, program: str) -> None:
    key = pair(tmp_path)
    signed_images.folder(tmp_path / "plain")
    image = layout.read_layout(tmp_path / "plain")
    signer = image_signing.Signer(key.public_key, lambda: key)
    image_signing.sign_image(image, attachment.LayoutAttachment(tmp_path / "plain", image), None, signer)
    image = layout.read_layout(tmp_path / "plain")
    layout_writer.write_layout(
        image, tmp_path / "listed", "v1", records=None, progress=Silent(), referrers_in_index=True
    )
    how = ("verify", "--local-image", "--insecure-ignore-tlog=true", "--key", "pair.pub")
    process = cosign(program, tmp_path, *how, "listed")
    assert process.returncode == 0, process.stderr
    assert cosign(program, tmp_path, *how, "plain").returncode != 0
    listed_image = layout.read_layout(tmp_path / "listed")
    assert {descriptor.digest for descriptor in listed_image.listed_referrers} == {
        descriptor.digest for descriptor in image.listed_referrers
    }
    assert not any("kind" in descriptor.annotations for descriptor in listed_image.listed_referrers)
