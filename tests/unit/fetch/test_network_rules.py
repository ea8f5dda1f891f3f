"""Connections follow the configuration of apt, and logins are only sent to their host."""

from __future__ import annotations

import base64

import pytest

from pumice.distro.debian.apt_setup import AptSetup
from pumice.errors import FetchError
from pumice.fetch.network_rules import NetworkRules, without_login
from pumice.formats import aptconf


def new_rules(configuration: str = "", logins: str = "", **environ: str) -> NetworkRules:
    machine = AptSetup(
        configuration=aptconf.read_configuration([("c", configuration.encode())]),
        logins=tuple(aptconf.read_logins(logins.encode())),
    )
    return NetworkRules(machine, environ)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_without_configuration_the_connection_is_direct() -> None:
    route = NetworkRules(None, {}).route("http://mirror.example/x")
    assert route.proxy == ""
    assert not route.tls
    assert NetworkRules(None, {}).route("https://mirror.example/x").tls


def test_apts_proxy_takes_precedence_over_the_environment() -> None:
    rules = new_rules('Acquire::http::Proxy "http://apt.example:3128";', http_proxy="http://env.example:1")
    assert rules.route("http://mirror.example/x").proxy == "http://apt.example:3128"
    assert (
        new_rules(http_proxy="http://env.example:1").route("http://m.example/").proxy
        == "http://env.example:1"
    )
    assert new_rules(https_proxy="env.example:1").route("https://m.example/").proxy == "http://env.example:1"
    assert new_rules(HTTP_PROXY="http://cgi.example:1").route("http://m.example/").proxy == ""


def test_a_host_can_have_its_own_proxy_or_none() -> None:
    rules = new_rules(
        """Acquire::http { Proxy "http://p.example:1";
        Proxy::a.example "DIRECT"; Proxy::b.example "http://b:2"; };"""
    )
    assert rules.route("http://a.example/").proxy == ""
    assert rules.route("http://b.example/").proxy == "http://b:2"
    assert rules.route("http://c.example/").proxy == "http://p.example:1"


def test_options_of_https_default_to_those_of_http() -> None:
    route = new_rules('Acquire::http::Proxy "http://p.example:1"; Acquire::http::Timeout "5";')
    assert route.route("https://m.example/").proxy == "http://p.example:1"
    assert route.route("https://m.example/").timeout == 5


@pytest.mark.parametrize(
    ("exempt", "direct"),
    [("m.example", True), (".example", True), ("*.example", True), ("other, m.example", True), ("*", True),
     ("ple", False), ("am.example", False), ("", False)],
)  # fmt: skip
def test_no_proxy_lists_exempt_hosts(exempt: str, direct: bool) -> None:
    route = new_rules('Acquire::http::Proxy "http://p.example:1";', no_proxy=exempt)
    assert (route.route("http://m.example/").proxy == "") is direct


def test_a_proxy_login_comes_from_its_url_or_auth_conf() -> None:
    route = new_rules('Acquire::http::Proxy "http://me:s%40fe@p.example:1";').route("http://m.example/")
    assert (route.proxy, route.proxy_login) == ("http://p.example:1", basic("me", "s@fe"))
    rules = new_rules(
        'Acquire::http::Proxy "http://p.example:1";', "machine http://p.example:1 login you password secret"
    )
    assert rules.route("http://m.example/").proxy_login == basic("you", "secret")


def test_an_unsupported_proxy_is_refused() -> None:
    with pytest.raises(FetchError, match="cannot use a proxy with the scheme 'socks5h'"):
        new_rules('Acquire::http::Proxy "socks5h://p.example:1";').route("http://m.example/")


def test_certificates_can_be_set_per_host() -> None:
    rules = new_rules(
        """Acquire::https { CAInfo "/ca"; CAInfo::a.example "/a"; SSLCert::a.example "/cert";
        SSLKey::a.example "/key";        Verify-Peer::b.example "false"; Verify-Host::c.example "no"; };"""
    )
    a, b, c = (rules.route(f"https://{name}.example/") for name in "abc")
    assert (a.ca_file, a.certificate, a.key, a.verify_peer) == ("/a", "/cert", "/key", True)
    assert (b.ca_file, b.certificate, b.verify_peer) == ("/ca", "", False)
    assert (c.verify_peer, c.verify_host) == (True, False)


def test_logins_are_only_sent_to_their_host_over_tls() -> None:
    rules = new_rules(logins="machine a.example login me password secret")
    assert rules.login("https://a.example/debian") == basic("me", "secret")
    assert rules.login("https://b.example/debian") == ""
    assert rules.login("http://a.example/debian") == ""
    open_found = new_rules(logins="machine http://a.example login me password secret")
    assert open_found.login("http://a.example/debian") == basic("me", "secret")


def test_a_login_in_the_url_is_used_and_never_printed() -> None:
    url = "https://me:secret@a.example:8443/debian"
    assert new_rules().login(url) == basic("me", "secret")
    assert without_login(url) == "https://a.example:8443/debian"


@pytest.mark.parametrize("url", ["http://[::1", "http://a:port/", "http://a:99999/"])
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(FetchError, match="is not a valid URL"):
        new_rules().route(url)
