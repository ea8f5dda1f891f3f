"""Which program verifies whose signatures: every writer against every reader, with the real programs.

The results are a table in ``docs/reference/interop.md``; ``python tools/interop.py`` renews it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pumice.trust import keys
from tests.support import pushing, registry, serving, skopeo
from tests.support.peers import need
from tests.support.trust_world import SECRET, TrustWorld

OWN = "example.com/hello:1.0"
WRITERS = ("pumice", "cosign 2", "cosign 3")
KINDS = ("P-256", "P-384", "Ed25519", "RSA")
REGISTRIES = ("with", "without")
FORMS = {"signature": "", "SBOM": "spdxjson", "provenance": "slsaprovenance1"}
READERS = ("pumice", "cosign 2", "cosign 3", "skopeo 1.18")
_SERVICES = ("--no-default-fulcio", "--no-default-oidc", "--no-default-rekor", "--no-default-tsa")
_TRUSTED_ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
_REASONS = {
    "ASN.1": "not by the key",
    "ailed to verify": "not by the key",
    "could not verify": "not by the key",
    "invalid signature": "not by the key",
    "do not match threshold": "not by the key",
    "not signed by a key that is trusted": "not by the key",
    "no signatures found": "finds none",
    "no matching attestations": "finds none",
    "no signature exists": "finds none",
    "signature was required, but no signature": "finds none",
}
"""Parts of error messages and their meaning, the most specific first."""


class SignedImage(NamedTuple):
    """An image in a registry, with the program and the kind of key that signed it."""

    writer: str
    kind: str
    registry: str
    host: str

    @property
    def repository(self) -> str:
        return f"matrix/{self.writer}-{self.kind}".lower().replace(" ", "")

    @property
    def reference(self) -> str:
        return f"{self.host}/{self.repository}:1.0"

    @property
    def key(self) -> str:
        return self.kind.lower()


Results = dict[tuple[SignedImage, str, str], str]
"""The result by image, form and reader."""


class Bench:
    """A project with an image, keys, and two registries."""

    def __init__(self, root: Path, hosts: dict[str, str]) -> None:
        self.world = TrustWorld(root)
        self.root = root
        self.folder = self.world.project
        self.hosts = hosts
        private_keys: dict[str, Any] = {
            "P-256": ec.generate_private_key(ec.SECP256R1()),
            "P-384": ec.generate_private_key(ec.SECP384R1()),
            "Ed25519": ed25519.Ed25519PrivateKey.generate(),
            "RSA": rsa.generate_private_key(65537, 2048),
        }
        for kind, key in private_keys.items():
            keys.write_pair(self.folder / kind.lower(), keys.PrivateKey(key), SECRET.encode())
        self.world.must("build", "recipe.yaml", "-o", "oci:out")
        for form, name in (("spdx", "spdxjson"), ("cyclonedx", "cyclonedx")):
            (self.folder / f"{name}.json").write_text(self.world.must("sbom", "oci:out", "--format", form))
        (self.folder / "slsaprovenance1.json").write_text(self._provenance())
        (self.folder / "root.json").write_text(_TRUSTED_ROOT)
        cosign(self, "cosign 3", "signing-config", "create", *_SERVICES, "--out", "services.json")

    def _provenance(self) -> str:
        """Return the predicate of the build's provenance as JSON."""
        blobs = self.folder / "out" / "blobs" / "sha256"
        for path in sorted(blobs.iterdir()):
            data = path.read_bytes()
            if data.startswith(b"{") and b"https://slsa.dev/provenance/v1" in data:
                document = json.loads(data)
                if "predicate" in document:
                    return json.dumps(document["predicate"])
        raise AssertionError("the build has no provenance")


def cosign(bench: Bench, program: str, *arguments: str) -> tuple[int, str]:
    environ = {**os.environ, "COSIGN_PASSWORD": SECRET, "HOME": str(bench.root)}
    command = [need(program.replace(" ", "")), *arguments]
    process = subprocess.run(
        command, env=environ, cwd=bench.folder, capture_output=True, text=True, check=False, timeout=300
    )
    return process.returncode, process.stderr


def is_tried(image: SignedImage, form: str, reader: str = "") -> bool:
    """Return whether a form is tried: skopeo reads only signatures; provenance needs one kind of key."""
    return form == "signature" or (
        not reader.startswith("skopeo") and (form == "SBOM" or image.kind == "P-256")
    )


def sign(bench: Bench, image: SignedImage) -> None:
    """Push the image and sign it, its SBOM and its provenance; raises AssertionError."""
    if image.writer == "pumice":
        bench.world.must(
            "push", "oci:out", image.reference, "--sign", f"{image.key}.key", store=f"w-{image.key}"
        )
        return
    pushing.push(bench.folder / "out", image.host, image.repository, "1.0", kinds=())
    no_log = ["--tlog-upload=false"] if image.writer == "cosign 2" else ["--signing-config", "services.json"]
    signing = ("--yes", "--key", f"{image.key}.key", *no_log)
    code, errors = cosign(bench, image.writer, "sign", *signing, image.reference)
    assert code == 0, (image, errors)
    for name in (FORMS[form] for form in FORMS if is_tried(image, form) and FORMS[form]):
        predicate = ("--type", name, "--predicate", f"{name}.json")
        code, errors = cosign(bench, image.writer, "attest", *signing, *predicate, image.reference)
        assert code == 0, (image, name, errors)


def _verify_with_pumice(bench: Bench, image: SignedImage, predicate: str) -> str:
    attestation = ("--attestation", predicate) if predicate else ()
    command = ("verify", f"docker://{image.reference}", "--key", f"{image.key}.pub", *attestation)
    variants = {"": (), " (`--as`)": ("--as", OWN)}
    return _first_success(
        (note, partial(_run_pumice, bench, *command, *options)) for note, options in variants.items()
    )


def _run_pumice(bench: Bench, *arguments: str) -> tuple[int, str]:
    pumice_run = bench.world.do(*arguments, store="reader")
    return pumice_run.code, pumice_run.stderr


def _verify_with_cosign(bench: Bench, image: SignedImage, predicate: str, program: str) -> str:
    verb = ("verify-attestation", "--type", predicate) if predicate else ("verify",)
    command = (*verb, "--key", f"{image.key}.pub", "--insecure-ignore-tlog=true", image.reference)
    variants = {"": (), " (`--trusted-root`)": ("--trusted-root", "root.json")}
    return _first_success(
        (note, partial(cosign, bench, program, *command, *options)) for note, options in variants.items()
    )


def _verify_with_skopeo(bench: Bench, image: SignedImage, _: str) -> str:
    variants = {"": "matchRepoDigestOrExact", " (`matchRepository`)": "matchRepository"}
    return _first_success(
        (note, partial(_copy_with_policy, bench, image, rule)) for note, rule in variants.items()
    )


def _copy_with_policy(bench: Bench, image: SignedImage, rule: str) -> tuple[int, str]:
    folder = bench.root / "skopeo" / f"{image.registry}-{image.repository.rpartition('/')[2]}-{rule}"
    (folder / "registries.d").mkdir(parents=True)
    pem = base64.b64encode((bench.folder / f"{image.key}.pub").read_bytes()).decode()
    requirement = {"type": "sigstoreSigned", "keyData": pem, "signedIdentity": {"type": rule}}
    policy = {"default": [{"type": "reject"}], "transports": {"docker": {image.host: [requirement]}}}
    (folder / "policy.json").write_text(json.dumps(policy))
    (folder / "registries.d" / "all.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    process = subprocess.run(
        [
            *(*skopeo.command(str(bench.root)), "--policy", f"{folder}/policy.json"),
            *("--registries.d", f"{folder}/registries.d", "copy", "--src-tls-verify=false"),
            *("--remove-signatures", f"docker://{image.reference}", f"dir:{folder}/copy"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return process.returncode, process.stderr


def _first_success(tries: Iterable[tuple[str, Callable[[], tuple[int, str]]]]) -> str:
    """Return the note of the first variant that succeeds, or why all of them fail."""
    messages: list[str] = []
    for note, attempt in tries:
        code, errors = attempt()
        if code == 0:
            return f"yes{note}"
        messages.append(errors)
    return f"no: {_classify_failure(messages)}"


def _classify_failure(messages: Sequence[str]) -> str:
    for fragment, reason in _REASONS.items():
        if any(fragment in message for message in messages):
            return reason
    print(*messages, file=sys.stderr)
    return "refuses"


def verify(bench: Bench, image: SignedImage, form: str, reader: str) -> str:
    """Return the result of a reader: "yes", or "no" with the reason."""
    predicate = FORMS[form]
    if reader == "pumice":
        return _verify_with_pumice(bench, image, predicate)
    if reader.startswith("skopeo"):
        return _verify_with_skopeo(bench, image, predicate)
    return _verify_with_cosign(bench, image, predicate, reader)


def run(root: Path) -> Results:
    """Sign and verify every combination; takes half a minute on an idle machine."""
    with ExitStack() as stack:
        (root / "debian").mkdir()
        bench = Bench(
            root / "bench",
            {
                "with": stack.enter_context(serving.serving(root / "served")).host,
                "without": stack.enter_context(registry.debian(root / "debian")),
            },
        )
        images = [SignedImage(*names, bench.hosts[names[2]]) for names in product(WRITERS, KINDS, REGISTRIES)]
        pool = stack.enter_context(ThreadPoolExecutor(4))
        list(pool.map(lambda image: sign(bench, image), images))
        cells = [
            (image, form, reader)
            for image, form, reader in product(images, FORMS, READERS)
            if is_tried(image, form, reader)
        ]
        return dict(zip(cells, pool.map(lambda cell: verify(bench, *cell), cells), strict=True))


def format_table(results: Results) -> str:
    """Return the results as Markdown; rows that differ only in kinds of keys or registries are merged."""
    return "\n".join(_format_form(results, form) for form in FORMS)


def _format_form(results: Results, form: str) -> str:
    readers = [reader for reader in READERS if any(cell[1:] == (form, reader) for cell in results)]
    lines: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for image in sorted({cell[0] for cell in results if cell[1] == form}, key=_sort_key):
        outcomes = tuple(results[image, form, reader] for reader in readers)
        lines.setdefault((image.writer, outcomes), []).append((image.kind, image.registry))
    rows = [f"### {form[0].upper()}{form[1:]}", ""]
    rows += [
        f"| written by | keys | referrers API | {' | '.join(readers)} |",
        "|---" * (3 + len(readers)) + "|",
    ]
    for (writer, outcomes), cells in lines.items():
        for kinds, registries in _merge_rows(cells):
            rows.append(f"| {writer} | {kinds} | {registries} | {' | '.join(outcomes)} |")
    return "\n".join([*rows, ""])


def _sort_key(image: SignedImage) -> tuple[int, int, int]:
    return WRITERS.index(image.writer), KINDS.index(image.kind), REGISTRIES.index(image.registry)


def _merge_rows(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    by_kind = {kind: tuple(registry for cell_kind, registry in cells if cell_kind == kind) for kind in KINDS}
    groups: dict[tuple[str, ...], list[str]] = {}
    for kind, registries in by_kind.items():
        if registries:
            groups.setdefault(registries, []).append(kind)
    return [
        ("all" if len(kinds) == len(KINDS) else ", ".join(kinds), " and ".join(registries))
        for registries, kinds in groups.items()
    ]
