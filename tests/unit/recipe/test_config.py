"""The configuration says where distributions are found; what it says wrongly is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError, RecipeError
from pumice.recipe import config


def test_the_path_of_the_configuration() -> None:
    assert config.config_path({"HOME": "/h"}) == Path("/h/.config/pumice/config.yaml")
    assert config.config_path({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == Path("/x/pumice/config.yaml")
    assert config.config_path({"HOME": "/h", "PUMICE_CONFIG": "/c.yaml"}) == Path("/c.yaml")


def test_a_missing_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert config.load_config({"HOME": str(tmp_path)}) == config.Config()


def test_a_file_named_by_the_environment_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PumiceError) as caught:
        config.load_config({"PUMICE_CONFIG": str(tmp_path / "none")})
    assert caught.value.message == "the configuration file does not exist"


def test_all_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        """\
debian:
  mirrors: [https://mirror.example/debian, "file:/srv/debian"]
  security_mirrors: https://mirror.example/debian-security
  snapshots: ["https://snapshot.example/{archive}/{date}"]
  keyrings: [keys/ours.gpg, /etc/keys.gpg]
"""
    )
    assert config.load_config({"PUMICE_CONFIG": str(path)}).debian == config.DistributionConfig(
        mirrors=("https://mirror.example/debian", "file:/srv/debian"),
        security_mirrors=("https://mirror.example/debian-security",),
        snapshots=("https://snapshot.example/{archive}/{date}",),
        keyrings=(str(tmp_path / "keys/ours.gpg"), "/etc/keys.gpg"),
    )


def test_every_problem_has_its_location() -> None:
    data = b"debian:\n  mirror: x\n  mirrors: {a: b}\nfedora: {}\n"
    with pytest.raises(RecipeError) as caught:
        config.parse_config(data, "c.yaml")
    assert sorted(problem.where or "" for problem in caught.value.problems) == [
        "c.yaml:2:3",
        "c.yaml:3:12",
        "c.yaml:4:1",
    ]


def test_signing_keys(tmp_path: Path) -> None:
    (tmp_path / "here.key").touch()
    path = tmp_path / "config.yaml"
    path.write_text(
        """\
sign:
  - {key: here.key, passphrase_file: secret}
  - {key: apps, prefix: example.com/apps}
  - {key: /etc/other.key, prefix: example.com}
"""
    )
    settings = config.load_config({"PUMICE_CONFIG": str(path)})
    keys = {
        name: (signing.key, signing.passphrase_file)
        for name in ("elsewhere.example/x", "example.com/appliance", "example.com/apps/x", "example.com/apps")
        if (signing := settings.find_signing(name))
    }
    assert keys == {
        "elsewhere.example/x": (str(tmp_path / "here.key"), str(tmp_path / "secret")),
        "example.com/appliance": ("/etc/other.key", ""),
        "example.com/apps/x": ("apps", ""),
        "example.com/apps": ("apps", ""),
    }
    assert config.Config().find_signing("example.com/apps") is None


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("sign: {keys: x}", "c.yaml:1:8", "unknown setting"),
        ("sign: {prefix: example.com}", "c.yaml:1:7", "a signing section needs a key"),
        ("sign:\n  key: [a]", "c.yaml:2:8", "expected a string"),
        ("sign: x", "c.yaml:1:7", "expected a mapping"),
        ("sign:", "c.yaml:1:6", "a signing section needs a key"),
        ("sign: {key: x, prefix: example.com/}", "c.yaml:1:24", "not a prefix of image names"),
        ("sign: {key: x, prefix: 'a:1'}", "c.yaml:1:24", "not a prefix of image names"),
        ("sign: [{key: x}, {key: y}]", "c.yaml:1:18", "every name has a signing key already, at c.yaml:1:8"),
    ],
)
def test_problems_of_signing_keys_have_locations(text: str, location: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        config.parse_config(text.encode(), "c.yaml")
    assert [(problem.where, problem.message) for problem in caught.value.problems][:1] == [
        (location, message)
    ]


@given(
    st.binary()
    | st.lists(st.sampled_from(["debian:", "mirrors:", "sign:", "key:", "prefix:", "-", "[", "]", "a", "\n"]))
    .map(" ".join)
    .map(str.encode)
)
def test_any_bytes_give_a_configuration_or_one_error(data: bytes) -> None:
    try:
        config.parse_config(data, "c.yaml")
    except PumiceError:
        pass
