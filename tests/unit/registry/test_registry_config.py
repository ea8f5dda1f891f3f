"""The configuration of mirrors, rewrites and connections."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError, RecipeError
from pumice.recipe import config
from pumice.registry import registry_config
from pumice.registry.reference import parse_repository

EXAMPLE = b"""
registries:
  docker.io/library:
    mirrors: [mirror.example/hub, 127.0.0.1:5000/library]
  old.example:
    rewrite: new.example/moved
  new.example:
    insecure: true
  tls.example:
    ca: ca.pem
    cert: /absolute/me.crt
    key: me.key
debian:
  mirrors: [https://mirror.example/debian]
"""


def test_the_longest_prefix_is_used() -> None:
    mirrors = registry_config.read_registry_configs(EXAMPLE, "/etc/pumice/config.yaml")
    hub = parse_repository("docker.io/library/debian")
    assert [str(mirror) for mirror in registry_config.mirrors_of(mirrors, hub)] == [
        "mirror.example/hub/debian",
        "127.0.0.1:5000/library/debian",
    ]
    assert registry_config.mirrors_of(mirrors, parse_repository("docker.io/libraryx/debian")) == ()
    moved = registry_config.rewrite_repository(mirrors, parse_repository("old.example/team/app"))
    assert str(moved) == "new.example/moved/team/app"
    assert registry_config.rewrite_repository(mirrors, hub) == hub


def test_the_connection_settings_of_a_host_are_found() -> None:
    configs = registry_config.read_registry_configs(EXAMPLE, "/etc/pumice/config.yaml")
    plain, tls = (
        registry_config.connection_config(configs, "new.example"),
        registry_config.connection_config(configs, "tls.example"),
    )
    assert plain is not None
    assert plain.plain_http
    assert tls is not None
    assert (tls.tls.ca, tls.tls.certificate, tls.tls.key) == (
        "/etc/pumice/ca.pem",
        "/absolute/me.crt",
        "/etc/pumice/me.key",
    )
    assert registry_config.connection_config(configs, "mirror.example") is None


def test_other_sections_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(EXAMPLE)
    environ = {"PUMICE_CONFIG": str(file)}
    assert config.load_config(environ).debian.mirrors == ("https://mirror.example/debian",)
    assert len(registry_config.load_registry_configs(environ)) == 4
    assert registry_config.load_registry_configs({"HOME": str(tmp_path)}) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("registries: [a]", "expected a mapping"),
        ("registries: {x.example: {mirror: y.example}}", "unknown setting"),
        ("registries: {'a b': {insecure: true}}", "not a host or the prefix"),
        ("registries: {x.example: {insecure: perhaps}}", "true or false"),
        ("registries: {x.example: {rewrite: [y]}}", "expected a host"),
        ("registries: {x.example: {ca: [y]}}", "expected a string"),
        ("registries: {x.example/UP: {}}", "not a host or the prefix"),
    ],
)
def test_problems_are_reported_with_their_location(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        registry_config.read_registry_configs(text.encode(), "config.yaml")
    assert message in str(raised.value)
    assert "config.yaml:1:" in str(raised.value)


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"registries: {{x: {text}}}".encode())
)
def test_any_file_is_read_or_an_error(data: bytes) -> None:
    try:
        registry_config.read_registry_configs(data, "config.yaml")
    except PumiceError:
        pass
