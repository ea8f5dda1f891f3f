"""As much of apt's configuration as fetching needs, by apt.conf(5) and apt_auth.conf(5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import aptconf


def parsed(*texts: str) -> aptconf.Configuration:
    return aptconf.read_configuration([(f"f{number}", text.encode()) for number, text in enumerate(texts)])


def test_scopes_and_qualified_names_form_one_tree() -> None:
    configuration = parsed(
        """
        // a comment
        # another
        Acquire::http::Proxy "http://proxy.example:3128"; /* and
        one more */
        Acquire { https { Proxy::mirror.example "DIRECT"; Verify-Peer "false"; }; Check-Valid-Until no; };
        DPkg::Post-Invoke { "rm -f /x || true"; };
        """
    )
    assert configuration.get("acquire::HTTP::proxy") == "http://proxy.example:3128"
    assert configuration.get("Acquire::https::Proxy::mirror.example") == "DIRECT"
    assert configuration.get_boolean("Acquire::https::Verify-Peer") is False
    assert configuration.get_boolean("Acquire::Check-Valid-Until") is False
    assert configuration.get_boolean("Acquire::Check-Date") is None
    assert configuration.get("nothing", "else") == "else"


def test_slashes_in_a_value_are_not_a_comment() -> None:
    assert parsed('A::B "http://x//y"; C::D value;').get("a::b") == "http://x//y"


def test_later_files_override_and_clear_removes_a_subtree() -> None:
    assert parsed('A "1";', 'A "2";').get("A") == "2"
    configuration = parsed('A::B "1"; A::C::D "2"; AB "3";', "#clear A;")
    assert (configuration.get("A::B"), configuration.get("A::C::D"), configuration.get("AB")) == ("", "", "3")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('A "1', "f0:1: a quoted value is not closed"),
        ("A { B 1;", "f0: the file ends in the middle of an option"),
        ("A 1;\n};", "f0:2: unmatched closing brace"),
        ("{" * 200, "f0:1: scopes are nested too deeply"),
    ],
)
def test_refuses_what_apt_refuses(text: str, sentence: str) -> None:
    with pytest.raises(FormatError) as caught:
        parsed(text)
    assert str(caught.value) == sentence


def test_reads_logins() -> None:
    logins = aptconf.read_logins(
        b"""
# comment
machine a.example login me password secret
machine http://B.example:8080/debian
  login you
  password login
machine c.example:443
"""
    )
    assert logins == [
        aptconf.Login("a.example", user="me", password="secret"),
        aptconf.Login("b.example", "http", 8080, "/debian", "you", "login"),
        aptconf.Login("c.example", port=443),
    ]


@pytest.mark.parametrize(
    ("machine", "matches"),
    [
        # The examples of apt_auth.conf(5), for https://example.org/debian.
        ("example.org", True),
        ("example.org/deb", True),
        ("example.org/debian", True),
        ("example.org:443", False),
        ("example.org/ubuntu", False),
        ("example.orga", False),
        ("example.net", False),
        ("http://example.org", False),
        ("https://example.org", True),
    ],
)
def test_login_matches_scheme_host_port_and_path(machine: str, matches: bool) -> None:
    (login,) = aptconf.read_logins(f"machine {machine} login apt password debian".encode())
    assert login.matches("https", "example.org", None, "/debian/dists/x") is matches


def test_login_without_scheme_is_for_encrypted_connections_only() -> None:
    (login,) = aptconf.read_logins(b"machine example.org login apt password debian")
    assert not login.matches("http", "example.org", None, "/")
    (login,) = aptconf.read_logins(b"machine http://example.org login apt password debian")
    assert login.matches("http", "example.org", None, "/")


@pytest.mark.parametrize("port", ["0", "65536", "99999999", "x", "-1", "\u0663"])
def test_refuses_a_port_that_is_not_a_number(port: str) -> None:
    with pytest.raises(FormatError):
        aptconf.read_logins(f"machine example.org:{port} login a password b".encode())


PIECES = st.lists(
    st.sampled_from(["{", "}", ";", '"', "//", "/*", "*/", "#clear", "#include", "A::B", "::", "\n", " x"])
)


@given(st.binary() | PIECES.map("".join).map(str.encode) | PIECES.map(" ".join).map(str.encode))
def test_any_bytes_return_a_configuration_or_raise_format_error(data: bytes) -> None:
    try:
        aptconf.read_configuration([("f", data)])
    except PumiceError:
        pass


@given(
    st.binary()
    | st.lists(st.sampled_from(["machine", "login", "password", "x:1", "[::1]:2", "a://b/c:9"]))
    .map(" ".join)
    .map(str.encode)
)
def test_any_bytes_return_logins_or_raise_format_error(data: bytes) -> None:
    try:
        aptconf.read_logins(data)
    except PumiceError:
        pass
