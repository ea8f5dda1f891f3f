from __future__ import annotations

from pumice.formats import x509
from pumice.packing.effects.ca_certificates import hash_links, install_ca_certificates, pem_name
from tests.support.certificates import certificate, pem
from tests.support.texttree import given, package, shown, tree

SHIPPED = "usr/share/ca-certificates/mozilla"
PACKAGES = [package("ca-certificates"), package("ca-certificates-java")]
ONE, TWO = pem("one"), pem("two")


def test_bundle_links_and_configuration() -> None:
    paths: dict[str, str | bytes] = {
        f"{SHIPPED}/B (x, y).crt": TWO.rstrip(b"\n"),
        f"{SHIPPED}/A.crt": ONE,
        f"{SHIPPED}/README": "no",
    }
    result = install_ca_certificates(given(tree(paths, PACKAGES)))
    made = {item.entry.path: item for item in result.generated}
    assert made["etc/ssl/certs/ca-certificates.crt"].content == ONE + TWO
    assert made["etc/ca-certificates.conf"].content.decode().splitlines()[-2:] == [
        "mozilla/A.crt",
        "mozilla/B (x, y).crt",
    ]
    one, two = x509.compute_subject_hash(certificate("one")), x509.compute_subject_hash(certificate("two"))
    links = [line for line in shown(result.generated).splitlines() if "->" in line]
    assert links == sorted(
        [
            f"etc/ssl/certs/{one}.0 -> A.pem",
            f"etc/ssl/certs/{two}.0 -> B_=x__y=.pem",
            f"etc/ssl/certs/A.pem -> /{SHIPPED}/A.crt",
            f"etc/ssl/certs/B_=x__y=.pem -> /{SHIPPED}/B (x, y).crt",
        ]
    )


def test_certificates_of_ones_own_come_after() -> None:
    paths = {f"{SHIPPED}/z.crt": ONE, "usr/local/share/ca-certificates/a.crt": TWO}
    made = {item.entry.path: item for item in install_ca_certificates(given(tree(paths, PACKAGES))).generated}
    assert made["etc/ssl/certs/ca-certificates.crt"].content == ONE + TWO
    assert b"a.crt" not in made["etc/ca-certificates.conf"].content


def test_an_existing_configuration_chooses() -> None:
    paths: dict[str, str | bytes] = {
        f"{SHIPPED}/a.crt": ONE,
        f"{SHIPPED}/b.crt": TWO,
        "etc/ca-certificates.conf": "# x\n!mozilla/a.crt\nmozilla/gone.crt\nmozilla/b.crt\n",
    }
    made = {item.entry.path: item for item in install_ca_certificates(given(tree(paths, PACKAGES))).generated}
    assert made["etc/ssl/certs/ca-certificates.crt"].content == TWO
    assert "etc/ca-certificates.conf" not in made


def test_equal_names_are_numbered_and_equal_certificates_linked_once() -> None:
    number = x509.compute_subject_hash(certificate("one"))
    files = {"a.pem": pem("one"), "b.pem": pem("one"), "c.pem": pem("one", serial=2), "d.pem": b"junk"}
    assert list(hash_links(files)) == [(f"{number}.0", "a.pem"), (f"{number}.1", "c.pem")]
    assert list(hash_links({"both.pem": ONE + TWO})) == []


def test_names_with_characters_that_openssl_may_not_see() -> None:
    assert (
        pem_name("x/NetLock Arany (Class Gold), Főtanúsítvány.crt")
        == "NetLock_Arany_=Class_Gold=__Főtanúsítvány.pem"
    )


def test_nothing_without_the_packages() -> None:
    whole = tree({f"{SHIPPED}/A.crt": ONE})
    assert install_ca_certificates(given(whole)).generated == ()
