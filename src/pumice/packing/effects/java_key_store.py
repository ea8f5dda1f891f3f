"""The effect that does the work of ca-certificates-java's trigger."""

from __future__ import annotations

import posixpath

from pumice.formats import jks
from pumice.packing.effects.ca_certificates import CERTIFICATES, parse_certificates
from pumice.packing.effects.model import EffectInput, EffectResult, directory_entry, file_entry

BY = "effect:ca-certificates-java"
_PASSWORD = "changeit"  # noqa: S105 - the password that every Java expects


def create_java_key_store(given: EffectInput) -> EffectResult:
    """Return Java's store of the same certificates, if ca-certificates-java is there."""
    tree = given.tree
    if not any(package.name == "ca-certificates-java" for package in tree.packages):
        return EffectResult()
    certificates: dict[str, bytes] = {}
    for path in tree.children(CERTIFICATES):
        node = tree.get(path)
        name = posixpath.basename(path)
        is_link = node is not None and node.entry.kind == "symlink"
        if not (is_link and name.endswith(".pem") and tree.is_file(path)):
            continue
        found = parse_certificates(tree.read(path))
        if found:
            certificates[f"debian:{name.lower()}"] = found[0]
    made = [file_entry(f"{CERTIFICATES}/java/cacerts", jks.encode_key_store(certificates, _PASSWORD), BY)]
    if tree.get(f"{CERTIFICATES}/java") is None:
        made.insert(0, directory_entry(f"{CERTIFICATES}/java", BY))
    return EffectResult(generated=tuple(made))
