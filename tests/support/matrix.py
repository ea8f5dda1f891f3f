"""Who verifies what whom: every writer of signatures against every reader, with real programs.

The answers are a table in ``docs/reference/interop.md``; ``python tools/interop.py`` renews it.
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


class Written(NamedTuple):
    """An image in a registry, and by what and how it was signed there."""

    writer: str
    kind: str
    registry: str
    host: str

    @property
    def repository(self) -> str:
        return f"matrix/{self.writer}-{self.kind}".lower().replace(" ", "")

    @property
    def place(self) -> str:
        return f"{self.host}/{self.repository}:1.0"

    @property
    def key(self) -> str:
        return self.kind.lower()


Answers = dict[tuple[Written, str, str], str]
"""What a reader (the last) says of a form (the second)."""


class Bench:
    """A project with an image, keys, and two registries."""

    def __init__(self, root: Path, hosts: dict[str, str]) -> None:
        self.world = TrustWorld(root)
        self.root = root
        self.folder = self.world.project
        self.hosts = hosts
        made: dict[str, Any] = {
            "P-256": ec.generate_private_key(ec.SECP256R1()),
            "P-384": ec.generate_private_key(ec.SECP384R1()),
            "Ed25519": ed25519.Ed25519PrivateKey.generate(),
            "RSA": rsa.generate_private_key(65537, 2048),
        }
        for kind, key in made.items():
            keys.write_pair(self.folder / kind.lower(), keys.PrivateKey(key), SECRET.encode())
        self.world.must("build", "recipe.yaml", "-o", "oci:out")
        for form, name in (("spdx", "spdxjson"), ("cyclonedx", "cyclonedx")):
            (self.folder / f"{name}.json").write_text(self.world.must("sbom", "oci:out", "--format", form))
        (self.folder / "slsaprovenance1.json").write_text(self._provenance())
        (self.folder / "root.json").write_text(_TRUSTED_ROOT)
        cosign(self, "cosign 3", "signing-config", "create", *_SERVICES, "--out", "services.json")

    def _provenance(self) -> str:
        """The predicate of the build's provenance."""
        blobs = self.folder / "out" / "blobs" / "sha256"
        for path in sorted(blobs.iterdir()):
            data = path.read_bytes()
            if data.startswith(b"{") and b"https://slsa.dev/provenance/v1" in data:
                document = json.loads(data)
                if "predicate" in document:
                    return json.dumps(document["predicate"])
        raise AssertionError("the build left no provenance")


def cosign(bench: Bench, program: str, *arguments: str) -> tuple[int, str]:
    environ = {**os.environ, "COSIGN_PASSWORD": SECRET, "HOME": str(bench.root)}
    command = [need(program.replace(" ", "")), *arguments]
    done = subprocess.run(
        command, env=environ, cwd=bench.folder, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stderr


def asks(one: Written, form: str, reader: str = "") -> bool:
    """Say whether a form is tried: skopeo reads signatures only; for provenance one kind of key will do."""
    return form == "signature" or (
        not reader.startswith("skopeo") and (form == "SBOM" or one.kind == "P-256")
    )


def write(bench: Bench, one: Written) -> None:
    """Push the image and sign it, its SBOM and its provenance; raises AssertionError."""
    if one.writer == "pumice":
        bench.world.must("push", "oci:out", one.place, "--sign", f"{one.key}.key", store=f"w-{one.key}")
        return
    pushing.push(bench.folder / "out", one.host, one.repository, "1.0", kinds=())
    quiet = ["--tlog-upload=false"] if one.writer == "cosign 2" else ["--signing-config", "services.json"]
    signing = ("--yes", "--key", f"{one.key}.key", *quiet)
    code, said = cosign(bench, one.writer, "sign", *signing, one.place)
    assert code == 0, (one, said)
    for name in (FORMS[form] for form in FORMS if asks(one, form) and FORMS[form]):
        what = ("--type", name, "--predicate", f"{name}.json")
        code, said = cosign(bench, one.writer, "attest", *signing, *what, one.place)
        assert code == 0, (one, name, said)


def _pumice(bench: Bench, one: Written, predicate: str) -> str:
    what = ("--attestation", predicate) if predicate else ()
    asked = ("verify", f"docker://{one.place}", "--key", f"{one.key}.pub", *what)
    ways = {"": (), " (`--as`)": ("--as", OWN)}
    return _first((note, partial(_ran, bench, *asked, *more)) for note, more in ways.items())


def _ran(bench: Bench, *arguments: str) -> tuple[int, str]:
    done = bench.world.do(*arguments, store="reader")
    return done.code, done.stderr


def _cosign(bench: Bench, one: Written, predicate: str, program: str) -> str:
    verb = ("verify-attestation", "--type", predicate) if predicate else ("verify",)
    asked = (*verb, "--key", f"{one.key}.pub", "--insecure-ignore-tlog=true", one.place)
    ways = {"": (), " (`--trusted-root`)": ("--trusted-root", "root.json")}
    return _first((note, partial(cosign, bench, program, *asked, *more)) for note, more in ways.items())


def _skopeo(bench: Bench, one: Written, _: str) -> str:
    ways = {"": "matchRepoDigestOrExact", " (`matchRepository`)": "matchRepository"}
    return _first((note, partial(_copied, bench, one, rule)) for note, rule in ways.items())


def _copied(bench: Bench, one: Written, rule: str) -> tuple[int, str]:
    folder = bench.root / "skopeo" / f"{one.registry}-{one.repository.rpartition('/')[2]}-{rule}"
    (folder / "registries.d").mkdir(parents=True)
    pem = base64.b64encode((bench.folder / f"{one.key}.pub").read_bytes()).decode()
    asked = {"type": "sigstoreSigned", "keyData": pem, "signedIdentity": {"type": rule}}
    policy = {"default": [{"type": "reject"}], "transports": {"docker": {one.host: [asked]}}}
    (folder / "policy.json").write_text(json.dumps(policy))
    (folder / "registries.d" / "all.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    done = subprocess.run(
        [
            *(*skopeo.command(str(bench.root)), "--policy", f"{folder}/policy.json"),
            *("--registries.d", f"{folder}/registries.d", "copy", "--src-tls-verify=false"),
            *("--remove-signatures", f"docker://{one.place}", f"dir:{folder}/copy"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stderr


def _first(tries: Iterable[tuple[str, Callable[[], tuple[int, str]]]]) -> str:
    """Return by which of several ways it goes, or why by none."""
    said: list[str] = []
    for note, attempt in tries:
        code, told = attempt()
        if code == 0:
            return f"yes{note}"
        said.append(told)
    return f"no: {_reason(said)}"


def _reason(said: Sequence[str]) -> str:
    for known, reason in _REASONS.items():
        if any(known in one for one in said):
            return reason
    print(*said, file=sys.stderr)
    return "refuses"


def read(bench: Bench, one: Written, form: str, reader: str) -> str:
    """Return what a reader says: yes, or no and why."""
    predicate = FORMS[form]
    if reader == "pumice":
        return _pumice(bench, one, predicate)
    if reader.startswith("skopeo"):
        return _skopeo(bench, one, predicate)
    return _cosign(bench, one, predicate, reader)


def run(root: Path) -> Answers:
    """Write and read everything; takes half a minute where nothing else runs."""
    with ExitStack() as stack:
        (root / "debian").mkdir()
        bench = Bench(
            root / "bench",
            {
                "with": stack.enter_context(serving.serving(root / "served")).host,
                "without": stack.enter_context(registry.debian(root / "debian")),
            },
        )
        all_ = [Written(*one, bench.hosts[one[2]]) for one in product(WRITERS, KINDS, REGISTRIES)]
        pool = stack.enter_context(ThreadPoolExecutor(4))
        list(pool.map(lambda one: write(bench, one), all_))
        cells = [
            (one, form, reader)
            for one, form, reader in product(all_, FORMS, READERS)
            if asks(one, form, reader)
        ]
        return dict(zip(cells, pool.map(lambda cell: read(bench, *cell), cells), strict=True))


def table(answers: Answers) -> str:
    """Return the answers as Markdown; lines that differ in kinds of keys or registries only are one."""
    return "\n".join(_of_form(answers, form) for form in FORMS)


def _of_form(answers: Answers, form: str) -> str:
    readers = [one for one in READERS if any(cell[1:] == (form, one) for cell in answers)]
    lines: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for one in sorted({cell[0] for cell in answers if cell[1] == form}, key=_order):
        said = tuple(answers[one, form, reader] for reader in readers)
        lines.setdefault((one.writer, said), []).append((one.kind, one.registry))
    rows = [f"### {form[0].upper()}{form[1:]}", ""]
    rows += [
        f"| written by | keys | referrers API | {' | '.join(readers)} |",
        "|---" * (3 + len(readers)) + "|",
    ]
    for (writer, said), where in lines.items():
        for kinds, registries in _joined(where):
            rows.append(f"| {writer} | {kinds} | {registries} | {' | '.join(said)} |")
    return "\n".join([*rows, ""])


def _order(one: Written) -> tuple[int, int, int]:
    return WRITERS.index(one.writer), KINDS.index(one.kind), REGISTRIES.index(one.registry)


def _joined(where: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    by_kind = {kind: tuple(r for k, r in where if k == kind) for kind in KINDS}
    groups: dict[tuple[str, ...], list[str]] = {}
    for kind, found in by_kind.items():
        if found:
            groups.setdefault(found, []).append(kind)
    return [
        ("all" if len(kinds) == len(KINDS) else ", ".join(kinds), " and ".join(found))
        for found, kinds in groups.items()
    ]
