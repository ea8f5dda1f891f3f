"""The effect that does the work of ca-certificates-java's trigger."""

from __future__ import annotations

import posixpath

from pumice.formats import jks
from pumice.packing.effects.ca_certificates import CERTIFICATES_DIRECTORY, parse_certificates
from pumice.packing.effects.model import EffectInput, EffectResult, directory_entry, file_entry

ORIGIN = "effect:ca-certificates-java"
_PASSWORD = "changeit"  # noqa: S105 - the password that every Java expects


def create_java_key_store(inputs: EffectInput) -> EffectResult:
    """Return Java's key store of the same certificates, if ca-certificates-java is installed."""
    tree = inputs.tree
    if not any(package.name == "ca-certificates-java" for package in tree.packages):
        return EffectResult()
    certificates: dict[str, bytes] = {}
    for path in tree.children(CERTIFICATES_DIRECTORY):
        node = tree.get(path)
        name = posixpath.basename(path)
        is_link = node is not None and node.entry.kind == "symlink"
        if not (is_link and name.endswith(".pem") and tree.is_file(path)):
            continue
        file_certificates = parse_certificates(tree.read(path))
        if file_certificates:
            certificates[f"debian:{name.lower()}"] = file_certificates[0]
    entries = [
        file_entry(
            f"{CERTIFICATES_DIRECTORY}/java/cacerts", jks.encode_key_store(certificates, _PASSWORD), ORIGIN
        )
    ]
    if tree.get(f"{CERTIFICATES_DIRECTORY}/java") is None:
        entries.insert(0, directory_entry(f"{CERTIFICATES_DIRECTORY}/java", ORIGIN))
    return EffectResult(generated=tuple(entries))
