from __future__ import annotations

from pumice.formats import jks
from pumice.packing.effects.ca_certificates import install_ca_certificates
from pumice.packing.effects.java_key_store import create_java_key_store
from tests.support.certificates import certificate, pem
from tests.support.texttree import effect_input, format_entries, package, tree

SHIPPED = "usr/share/ca-certificates/mozilla"
PACKAGES = [package("ca-certificates"), package("ca-certificates-java")]
ONE, TWO = pem("one"), pem("two")


def test_the_key_store_has_the_certificates_of_the_bundle() -> None:
    paths: dict[str, str | bytes] = {f"{SHIPPED}/A.crt": ONE, f"{SHIPPED}/b.crt": TWO, "etc/ssl/certs/": ""}
    image_tree = tree(paths, PACKAGES)
    effect_result = create_java_key_store(
        effect_input(image_tree.with_entries(install_ca_certificates(effect_input(image_tree)).generated))
    )
    assert (
        format_entries(effect_result.generated)
        == "0755 0:0 etc/ssl/certs/java/\n0644 0:0 etc/ssl/certs/java/cacerts"
    )
    assert jks.read_key_store(effect_result.generated[-1].content, "changeit") == {
        "debian:a.pem": certificate("one"),
        "debian:b.pem": certificate("two"),
    }


def test_without_the_package_nothing_is_generated() -> None:
    assert create_java_key_store(effect_input(tree({f"{SHIPPED}/A.crt": ONE}))).generated == ()
