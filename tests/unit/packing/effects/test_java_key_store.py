from __future__ import annotations

from pumice.formats import jks
from pumice.packing.effects.ca_certificates import install_ca_certificates
from pumice.packing.effects.java_key_store import create_java_key_store
from tests.support.certificates import certificate, pem
from tests.support.texttree import given, package, shown, tree

SHIPPED = "usr/share/ca-certificates/mozilla"
PACKAGES = [package("ca-certificates"), package("ca-certificates-java")]
ONE, TWO = pem("one"), pem("two")


def test_java_gets_the_same_certificates() -> None:
    paths: dict[str, str | bytes] = {f"{SHIPPED}/A.crt": ONE, f"{SHIPPED}/b.crt": TWO, "etc/ssl/certs/": ""}
    whole = tree(paths, PACKAGES)
    result = create_java_key_store(given(whole.with_entries(install_ca_certificates(given(whole)).generated)))
    assert shown(result.generated) == "0755 0:0 etc/ssl/certs/java/\n0644 0:0 etc/ssl/certs/java/cacerts"
    assert jks.read_key_store(result.generated[-1].content, "changeit") == {
        "debian:a.pem": certificate("one"),
        "debian:b.pem": certificate("two"),
    }


def test_nothing_without_the_package() -> None:
    assert create_java_key_store(given(tree({f"{SHIPPED}/A.crt": ONE}))).generated == ()
