from __future__ import annotations

from pumice.formats import x509
from pumice.packing.effects.ca_certificates import hash_links, install_ca_certificates, pem_name
from tests.support.certificates import certificate, pem
from tests.support.texttree import effect_input, format_entries, package, tree

SHIPPED = "usr/share/ca-certificates/mozilla"
PACKAGES = [package("ca-certificates"), package("ca-certificates-java")]
ONE, TWO = pem("one"), pem("two")


def test_bundle_links_and_configuration() -> None:
    paths: dict[str, str | bytes] = {
        f"{SHIPPED}/B (x, y).crt": TWO.rstrip(b"\n"),
        f"{SHIPPED}/A.crt": ONE,
        f"{SHIPPED}/README": "no",
    }
    effect_result = install_ca_certificates(effect_input(tree(paths, PACKAGES)))
    entries = {generated_entry.entry.path: generated_entry for generated_entry in effect_result.generated}
    assert entries["etc/ssl/certs/ca-certificates.crt"].content == ONE + TWO
    assert entries["etc/ca-certificates.conf"].content.decode().splitlines()[-2:] == [
        "mozilla/A.crt",
        "mozilla/B (x, y).crt",
    ]
    first_hash, second_hash = (
        x509.compute_subject_hash(certificate("one")),
        x509.compute_subject_hash(certificate("two")),
    )
    links = [line for line in format_entries(effect_result.generated).splitlines() if "->" in line]
    assert links == sorted(
        [
            f"etc/ssl/certs/{first_hash}.0 -> A.pem",
            f"etc/ssl/certs/{second_hash}.0 -> B_=x__y=.pem",
            f"etc/ssl/certs/A.pem -> /{SHIPPED}/A.crt",
            f"etc/ssl/certs/B_=x__y=.pem -> /{SHIPPED}/B (x, y).crt",
        ]
    )


def test_local_certificates_come_last_in_the_bundle() -> None:
    paths = {f"{SHIPPED}/z.crt": ONE, "usr/local/share/ca-certificates/a.crt": TWO}
    entries = {
        generated_entry.entry.path: generated_entry
        for generated_entry in install_ca_certificates(effect_input(tree(paths, PACKAGES))).generated
    }
    assert entries["etc/ssl/certs/ca-certificates.crt"].content == ONE + TWO
    assert b"a.crt" not in entries["etc/ca-certificates.conf"].content


def test_an_existing_configuration_selects_the_certificates() -> None:
    paths: dict[str, str | bytes] = {
        f"{SHIPPED}/a.crt": ONE,
        f"{SHIPPED}/b.crt": TWO,
        "etc/ca-certificates.conf": "# x\n!mozilla/a.crt\nmozilla/gone.crt\nmozilla/b.crt\n",
    }
    entries = {
        generated_entry.entry.path: generated_entry
        for generated_entry in install_ca_certificates(effect_input(tree(paths, PACKAGES))).generated
    }
    assert entries["etc/ssl/certs/ca-certificates.crt"].content == TWO
    assert "etc/ca-certificates.conf" not in entries


def test_hash_links_are_numbered_and_duplicates_are_linked_once() -> None:
    number = x509.compute_subject_hash(certificate("one"))
    files = {"a.pem": pem("one"), "b.pem": pem("one"), "c.pem": pem("one", serial=2), "d.pem": b"junk"}
    assert list(hash_links(files)) == [(f"{number}.0", "a.pem"), (f"{number}.1", "c.pem")]
    assert list(hash_links({"both.pem": ONE + TWO})) == []


def test_special_characters_in_link_names_are_replaced() -> None:
    assert (
        pem_name("x/NetLock Arany (Class Gold), Főtanúsítvány.crt")
        == "NetLock_Arany_=Class_Gold=__Főtanúsítvány.pem"
    )


def test_without_the_package_nothing_is_generated() -> None:
    image_tree = tree({f"{SHIPPED}/A.crt": ONE})
    assert install_ca_certificates(effect_input(image_tree)).generated == ()
