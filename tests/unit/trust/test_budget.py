"""What is attached to an image costs a bounded amount in total, however often and however much it is."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from pumice import digest
from pumice.errors import FormatError, TrustError
from pumice.formats import dsse, intoto, oci, sigstore, simplesigning, strictjson
from pumice.image.model import Image
from pumice.image.transports import attachment, layout
from pumice.trust import budget, claims, image_verification
from tests.support.signed_images import NAME, folder, key, sign_folder, trusted


class Counting:
    """Blobs of another place; counts how often each is opened."""

    def __init__(self, image: Image) -> None:
        self._blobs = image.blobs
        self.opened: Counter[str] = Counter()

    def open(self, digest: str) -> BinaryIO:
        self.opened[digest] += 1
        return self._blobs.open(digest)


def counted(path: Path) -> tuple[Image, Counting]:
    image = layout.read_layout(path)
    blobs = Counting(image)
    return Image(image.root, blobs, image.referrers, image.listed_referrers), blobs


def statement(image: Image, size: int, *, by: int = 0, kind: str = "https://x.example/v1") -> bytes:
    """Return a signed statement of about ``size`` bytes about an image."""
    subject = intoto.Subject(NAME, image.root.digest)
    payload = intoto.encode_statement(intoto.Statement((subject,), kind, json.dumps("x" * size).encode()))
    return dsse.encode_envelope(
        dsse.Envelope(
            dsse.IN_TOTO, payload, (dsse.Signature(key(by).sign(dsse.encode_pae(dsse.IN_TOTO, payload))),)
        )
    )


def attach(path: Path, *blobs: bytes, media_type: str = dsse.ENVELOPE, times: int = 1, **notes: str) -> None:
    """Attach blobs by one manifest that lists each of them a number of times."""
    image = layout.read_layout(path)
    target = attachment.LayoutAttachment(path, image)
    layers = [
        msgspec.structs.replace(target.put(data, media_type), annotations={**notes, "n": str(number)})
        for data in blobs
        for number in range(times)
    ]
    manifest = oci.Manifest(
        schema_version=2,
        config=target.put(b"{}", oci.EMPTY),
        layers=tuple(layers),
        subject=image.root,
        artifact_type="x/y",
    )
    target.change(image.root.digest, [target.put(oci.encode_document(manifest), oci.MANIFEST)], [])
    target.finish()


@pytest.fixture
def layout_folder(tmp_path: Path) -> Path:
    return folder(tmp_path / "image")


def test_a_blob_that_is_listed_a_hundred_times_is_read_once(layout_folder: Path) -> None:
    data = statement(layout.read_layout(layout_folder), 1000)
    attach(layout_folder, data, times=100)
    image, blobs = counted(layout_folder)
    assert len(list(claims.read_claims(image, None))) == 1
    assert blobs.opened[digest.of(data)] == 1


def test_several_signatures_of_one_payload_read_it_once(layout_folder: Path) -> None:
    sign_folder(layout_folder, 0, 1, 2)
    image, blobs = counted(layout_folder)
    assert len([claim for claim in claims.read_claims(image, None) if claim.form == "cosign"]) == 3
    payload = simplesigning.encode_payload(simplesigning.Payload(NAME, image.root.digest))
    assert blobs.opened[digest.of(payload)] == 1


def test_small_blobs_are_read_before_large_ones(layout_folder: Path) -> None:
    large = [statement(layout.read_layout(layout_folder), 100_000 + number, by=1) for number in range(5)]
    attach(layout_folder, *large)
    sign_folder(layout_folder, 0)
    limit = budget.Budget(250_000)
    claim_list = list(
        image_verification.evaluate_claims(
            layout.read_layout(layout_folder), None, [trusted()], expected=NAME, now=0, budget=limit
        )
    )
    assert [claim.problem for claim in claim_list[:2]] == ["", ""]
    assert claim_list[-1].problem == "not read: more than 0 MiB are attached to the image"


def test_the_total_size_of_blobs_is_limited(layout_folder: Path) -> None:
    attach(
        layout_folder,
        *(statement(layout.read_layout(layout_folder), 100_000 + number) for number in range(10)),
    )
    image, blobs = counted(layout_folder)
    claim_list = list(claims.read_claims(image, None, budget=budget.Budget(500_000)))
    assert [claim.problem != "" for claim in claim_list] == [False] * 3 + [True] * 7
    assert (
        sum(count for name, count in blobs.opened.items() if name in {claim.blob for claim in claim_list})
        == 3
    )


def test_the_total_processor_time_is_limited(layout_folder: Path) -> None:
    attach(
        layout_folder, *(statement(layout.read_layout(layout_folder), 1000 + number) for number in range(5))
    )
    clock = iter([0.0, 1.0, 20.0, 31.0, 32.0, 33.0])
    limit = budget.Budget(elapsed=lambda: next(clock))
    claim_list = list(claims.read_claims(layout.read_layout(layout_folder), None, budget=limit))
    assert [claim.problem for claim in claim_list] == [
        *("", ""),
        *["not read: checking the image's attachments takes more than 30 s"] * 3,
    ]


def test_large_blobs_are_not_read_if_only_signatures_are_needed(layout_folder: Path) -> None:
    attach(layout_folder, statement(layout.read_layout(layout_folder), 2 << 20, kind=sigstore.SIGN))
    image, blobs = counted(layout_folder)
    (claim,) = claims.read_claims(image, None, signatures_only=True)
    assert claim.problem.startswith("the signature is too large")
    assert blobs.opened[claim.blob] == 0


def test_the_total_size_of_manifests_is_limited(layout_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = layout.read_layout(layout_folder)
    for number in range(3):
        attach(layout_folder, statement(image, number), note="x" * 10_000)
    monkeypatch.setattr(claims, "_MAX_MANIFESTS", 25_000)
    assert len(list(claims.read_attached_manifests(layout.read_layout(layout_folder), None))) == 2


def test_an_evaluated_claim_is_released(layout_folder: Path) -> None:
    image = layout.read_layout(layout_folder)
    attach(layout_folder, statement(image, 1 << 20))
    sign_folder(layout_folder, 0)
    verdict = image_verification.verify_image(
        layout.read_layout(layout_folder), None, [trusted()], expected=NAME, now=0
    )
    assert {
        (len(evaluation.claim.signed), len(evaluation.claim.json)) for evaluation in verdict.attestations
    } == {(0, 4)}


def test_a_statement_about_many_other_images_is_one_claim(layout_folder: Path) -> None:
    image = layout.read_layout(layout_folder)
    subjects = tuple(intoto.Subject("x", digest.of(str(number).encode())) for number in range(1000))
    payload = intoto.encode_statement(intoto.Statement(subjects, sigstore.SIGN, b"{}"))
    attach(layout_folder, dsse.encode_envelope(dsse.Envelope(dsse.IN_TOTO, payload, (dsse.Signature(b"x"),))))
    (claim,) = claims.read_claims(layout.read_layout(layout_folder), None)
    assert claim.subject != image.root.digest
    with pytest.raises(TrustError, match="about another image"):
        image_verification.verify_image(
            layout.read_layout(layout_folder), None, [trusted()], expected=NAME, now=0
        )


@pytest.mark.parametrize(("part", "count"), [(b"[],", 2_000_000), (b"0,", 16_000_000)])
def test_json_with_too_many_values_is_refused_before_it_is_parsed(part: bytes, count: int) -> None:
    with pytest.raises(FormatError, match="too many values"):
        strictjson.read_value(b"[" + part * count + b"0]", "document", limit=1 << 30)


PROBE = """
import re, sys
from pathlib import Path
from pumice.cli.main import main
code = main(sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(code, peak // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("command", ["verify", "run"])
def test_memory_is_bounded_by_one_blob(layout_folder: Path, tmp_path: Path, command: str) -> None:
    """Four statements of 20 MiB, each listed as 24 layers: 2 GiB if each were read for itself."""
    image = layout.read_layout(layout_folder)
    notes = {} if command == "verify" else {claims.PREDICATE_TYPE: sigstore.SIGN}
    blobs = [statement(image, (14 << 20) + number) for number in range(4)]
    attach(layout_folder, *blobs, times=24, **notes)
    process = subprocess.run(
        [sys.executable, "-c", PROBE, command, f"oci:{layout_folder}"],
        env={"PUMICE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
    )
    code, peak = map(int, process.stdout.split()[-2:])
    assert code == 7, process.stderr
    assert peak < 300


def test_the_total_size_of_documents_is_limited(layout_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pumice.image import model

    image = layout.read_layout(layout_folder)
    size = image.root.size + image.manifest().config.size
    monkeypatch.setattr(model, "_MAX_TOTAL", size - 1)
    image = layout.read_layout(layout_folder)
    with pytest.raises(FormatError, match="larger than 0 MiB together"):
        image.config()
