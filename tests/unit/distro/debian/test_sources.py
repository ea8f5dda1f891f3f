"""Where a recipe's packages may come from: the recipe's word first, and never a stranger's archive."""

from __future__ import annotations

from pathlib import Path

import pytest

import pumice.distro.debian
from pumice.distro.debian import apt_setup
from pumice.distro.debian.sources import Source, builtin_keys, missing_mirror_error, resolve_sources
from pumice.errors import TrustError
from pumice.formats import openpgp
from pumice.recipe.config import Config, DistributionConfig
from pumice.recipe.model import ExtraArchive, Origin
from tests.support import archive

DEBIAN = """\
Types: deb
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def apt(root: Path, **files: str) -> apt_setup.AptSetup:
    """Read a machine whose ``/etc/apt`` has these files (``__`` for ``/``, ``_`` for ``.``)."""
    for name, text in files.items():
        path = root / "etc/apt" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return apt_setup.read_apt_setup(root)


def find(
    origin: Origin,
    machine: apt_setup.AptSetup | None,
    folder: Path = Path("/nowhere"),
    config: Config | None = None,
) -> tuple[Source, ...]:
    return resolve_sources(origin, recipe_dir=folder, config=config or Config(), machine=machine)


def urls(sources: tuple[Source, ...]) -> dict[str, list[str]]:
    return {source.label: [mirror.url for mirror in source.mirrors] for source in sources}


def test_release_updates_and_security_are_the_default(tmp_path: Path) -> None:
    sources = find(Origin(debian="bookworm"), apt(tmp_path, sources_list_d__x_sources=DEBIAN))
    assert urls(sources) == {
        "debian/bookworm": ["http://mirror.example/debian"],
        "debian/bookworm-updates": ["http://mirror.example/debian"],
        "debian-security/bookworm-security": ["http://mirror.example/debian-security"],
    }
    assert [source.optional for source in sources] == [False, True, True]
    assert {source.origin for source in sources} == {"Debian"}


def test_another_suite_uses_the_same_mirrors(tmp_path: Path) -> None:
    machine = apt(tmp_path, sources_list_d__x_sources=DEBIAN)
    assert urls(find(Origin(debian="trixie"), machine)) == {
        "debian/trixie": ["http://mirror.example/debian"],
        "debian/trixie-updates": ["http://mirror.example/debian"],
        "debian-security/trixie-security": ["http://mirror.example/debian-security"],
    }
    assert list(urls(find(Origin(debian="sid"), machine))) == ["debian/sid"]
    assert list(urls(find(Origin(debian="buster"), machine)))[2] == "debian-security/buster/updates"
    origin = Origin(debian="bookworm", suites=("bookworm", "bookworm-backports"))
    assert list(urls(find(origin, machine))) == ["debian/bookworm", "debian/bookworm-backports"]


def test_other_apt_sources_are_not_mirrors_of_debian(tmp_path: Path) -> None:
    machine = apt(
        tmp_path,
        sources_list_d__a_list="""\
deb https://tool.example/apt nodistro main
deb https://cloud.example/apt cloud-sdk-bookworm main
deb https://docker.example/debian bookworm stable
deb [trusted=yes] cdrom:[disk]/ bookworm main
deb tor+http://onion.example/debian bookworm main
""",
        sources_list_d__x_sources=DEBIAN,
        preferences="Package: *\nPin: origin tool.example\nPin-Priority: 1001\n",
    )
    for source in find(Origin(debian="bookworm"), machine):
        assert all(mirror.url.startswith("http://mirror.example/") for mirror in source.mirrors)


def test_a_source_with_only_the_same_suite_name_is_tried_last(tmp_path: Path) -> None:
    machine = apt(
        tmp_path,
        sources_list_d__a_list="deb https://stranger.example/node bookworm main\n",
        sources_list_d__x_sources=DEBIAN,
    )
    mirror_urls = urls(find(Origin(debian="bookworm"), machine))
    assert mirror_urls["debian/bookworm"] == ["http://mirror.example/debian", "https://stranger.example/node"]


def test_the_recipe_overrides_the_configuration_which_overrides_the_machine(tmp_path: Path) -> None:
    machine_setup = apt(tmp_path, sources_list_d__x_sources=DEBIAN)
    config = Config(
        DistributionConfig(
            mirrors=("http://config.example/debian",), security_mirrors=("http://config.example/sec",)
        )
    )
    mirror_urls = urls(
        find(
            Origin(debian="bookworm", mirrors=("http://recipe.example/debian/",)),
            machine_setup,
            config=config,
        )
    )
    assert mirror_urls == {
        "debian/bookworm": ["http://recipe.example/debian"],
        "debian/bookworm-updates": ["http://recipe.example/debian"],
        "debian-security/bookworm-security": ["http://config.example/sec"],
    }
    mirror_urls = urls(
        find(Origin(debian="bookworm", mirrors=("http://recipe.example/debian",)), machine_setup)
    )
    assert mirror_urls["debian-security/bookworm-security"] == ["http://mirror.example/debian-security"]


def test_a_missing_mirror_is_an_error_with_a_hint() -> None:
    for machine_setup in (None, apt_setup.AptSetup()):
        sources = find(Origin(debian="bookworm"), machine_setup)
        assert not any(source.mirrors for source in sources)
        error = missing_mirror_error(sources[0])
        assert error.message == "no Debian mirror is configured for bookworm"
        assert "mirrors: [https://mirror.example/debian]" in (error.hint or "")


def test_security_may_be_missing_from_the_sources() -> None:
    sources = find(Origin(debian="bookworm", mirrors=("http://mirror.example/debian",)), None)
    assert sources[2].mirrors == ()
    assert sources[2].optional


def test_keyrings_of_the_recipe_replace_all_others(tmp_path: Path) -> None:
    (tmp_path / "ours.asc").write_bytes(archive.keyring("good"))
    machine_setup = apt(tmp_path, sources_list_d__x_sources=DEBIAN)
    for origin in (
        Origin(debian="bookworm", keyrings=("ours.asc",)),
        Origin(debian="bookworm", keyrings=("ours.asc",), mirrors=("http://recipe.example",)),
    ):
        for source in find(origin, machine_setup, tmp_path):
            for mirror in source.mirrors:
                assert [keys.data for keys in mirror.keys] == [archive.keyring("good")]


def test_builtin_keys_are_tried_before_those_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "ours.asc").write_bytes(archive.keyring("good"))
    signed = DEBIAN.replace("Components", "Signed-By: /ours.asc ABCD\nComponents")
    machine_setup = apt(tmp_path, sources_list_d__x_sources=signed)
    (mirror,) = find(Origin(debian="bookworm"), machine_setup)[0].mirrors
    assert [keys.data for keys in mirror.keys] == [builtin_keys().data, archive.keyring("good")]
    assert mirror.keys[1].fingerprints == ("ABCD",)


def test_a_missing_keyring_of_the_machine_is_reported(tmp_path: Path) -> None:
    signed = DEBIAN.replace("Components", "Signed-By: /gone.gpg\nComponents")
    (mirror,) = find(Origin(debian="bookworm"), apt(tmp_path, sources_list_d__x_sources=signed))[0].mirrors
    assert [keys.data for keys in mirror.keys] == [builtin_keys().data]


def test_a_missing_keyring_of_the_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="cannot read the keyring"):
        find(Origin(debian="bookworm", keyrings=("gone.gpg",)), None, tmp_path)


def test_date_checks_follow_the_source_then_the_apt_configuration(tmp_path: Path) -> None:
    machine_setup = apt(tmp_path, sources_list_d__x_sources=DEBIAN)
    assert find(Origin(debian="bookworm"), machine_setup)[0].mirrors[0].check_valid_until
    machine_setup = apt(
        tmp_path, sources_list_d__x_sources=DEBIAN, apt_conf='Acquire::Check-Valid-Until "false";'
    )
    assert not find(Origin(debian="bookworm"), machine_setup)[0].mirrors[0].check_valid_until
    assert (
        not find(Origin(debian="bookworm", mirrors=("http://m.example",)), machine_setup)[0]
        .mirrors[0]
        .check_valid_until
    )
    source_text = DEBIAN.replace("Components", "Check-Valid-Until: yes\nComponents")
    machine_setup = apt(tmp_path, sources_list_d__x_sources=source_text)
    assert find(Origin(debian="bookworm"), machine_setup)[0].mirrors[0].check_valid_until


def test_other_archives_need_a_key_or_explicit_trust(tmp_path: Path) -> None:
    (tmp_path / "tool.asc").write_bytes(archive.keyring("other"))
    base = Origin(debian="sid", mirrors=("http://m.example",))
    with pytest.raises(TrustError, match="the archive tool has no key"):
        find(_with(base, ExtraArchive(name="tool", url="http://t.example", suite="x")), None, tmp_path)
    sources = find(
        _with(base, ExtraArchive(name="tool", url="http://t.example/", suite="x", key="tool.asc")),
        None,
        tmp_path,
    )
    assert sources[1].label == "tool/x"
    assert sources[1].mirrors[0].url == "http://t.example"
    assert [keys.data for keys in sources[1].mirrors[0].keys] == [archive.keyring("other")]
    assert not sources[1].trusted
    sources = find(
        _with(base, ExtraArchive(name="tool", url="http://t.example", suite="x", trusted=True)),
        None,
        tmp_path,
    )
    assert sources[1].trusted


def test_builtin_keys_match_their_readme() -> None:
    keyring = openpgp.read_keyring(builtin_keys().data)
    readme = (Path(pumice.distro.debian.__path__[0]) / "keys/README").read_text()
    for certificate in keyring.certificates:
        expiration = certificate.expiration
        assert expiration is not None
        assert f"{certificate.fingerprint.upper()}  " in readme
        assert expiration.date().isoformat() in readme
    assert readme.count("until 20") == len(keyring.certificates)


def _with(origin: Origin, extra: ExtraArchive) -> Origin:
    return Origin(debian=origin.debian, mirrors=origin.mirrors, archives=(extra,))
