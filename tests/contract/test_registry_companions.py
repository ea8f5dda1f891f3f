"""A copy keeps the signatures of both sides if they are stored under a tag of cosign."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pumice.errors import FormatError
from pumice.registry import Client, parse_reference
from pumice.store.home import Home
from tests.support import images, serving, transfers
from tests.support import registry as support
from tests.support.registry import Registry
from tests.support.transfers import QUICK, copy, everything, store_cosign_manifest

NAME = "example.com/app:1.0"
KINDS = ["etags", "bare", "ours", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))]


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "debian":
        with support.debian(tmp_path) as where:
            yield where
    elif request.param == "ours":
        with serving.serving(tmp_path / "root") as registry:
            yield registry.host
    else:
        plain = request.param == "bare"
        with support.serving(Registry(referrers=not plain, etags=not plain)) as where:
            yield where


class Side:
    """A store with the same image as the others, and its own signatures."""

    def __init__(self, root: Path, *signatures: str, suffix: str = ".sig") -> None:
        self.home = Home(root)
        self.image = images.make(self.home, [{"file": "content"}], name=NAME).root
        if signatures:
            store_cosign_manifest(self.home, self.image.digest, *signatures, suffix=suffix)


def stored_signatures(host: str, digest: str, suffix: str = ".sig") -> list[str]:
    tag = f"{host}/a:{digest.replace(':', '-')}{suffix}"
    with Client(settings=QUICK) as client:
        document = client.get_manifest(parse_reference(f"docker://{tag}")).json()
        config = client.open_blob(parse_reference(f"docker://{tag}").repository, document["config"]["digest"])
        with config as file:
            assert b"diff_ids" in file.read()
    return transfers.signatures(document)


@pytest.mark.parametrize("suffix", [".sig", ".att"])
def test_signatures_of_both_sides_are_kept(host: str, tmp_path: Path, suffix: str) -> None:
    first = Side(tmp_path / "one", "alice", "both", suffix=suffix)
    second = Side(tmp_path / "two", "bob", "both", suffix=suffix)
    copy(NAME, f"docker://{host}/a:1", first.home)
    copy(NAME, f"docker://{host}/a:1", second.home)
    assert stored_signatures(host, first.image.digest, suffix) == ["alice", "bob", "both"]
    copy(NAME, f"docker://{host}/a:1", first.home)  # changes nothing
    assert stored_signatures(host, first.image.digest, suffix) == ["alice", "bob", "both"]
    copy(f"docker://{host}/a:1", f"store:{NAME}", second.home)
    copy(NAME, f"docker://{host}/a:1", second.home)
    assert stored_signatures(host, first.image.digest, suffix) == ["alice", "bob", "both"]


def test_a_pull_keeps_the_signatures_in_the_store(host: str, tmp_path: Path) -> None:
    first = Side(tmp_path / "one", "alice")
    second = Side(tmp_path / "two", "bob")
    copy(NAME, f"docker://{host}/a:1", first.home)
    copy(f"docker://{host}/a:1", f"store:{NAME}", second.home)
    with Home(tmp_path / "three") as third:
        copy(NAME, f"docker://{host}/b:1", second.home)
        copy(f"docker://{host}/b:1", f"store:{NAME}", third)
        copy(NAME, f"docker://{host}/a:2", third)
    assert stored_signatures(host, first.image.digest) == ["alice", "bob"]


def test_a_complete_list_of_signatures_keeps_its_digest(host: str, tmp_path: Path) -> None:
    first = Side(tmp_path / "one", "alice", "bob")
    second = Side(tmp_path / "two", "bob")
    copy(NAME, f"docker://{host}/a:1", second.home)
    copy(NAME, f"docker://{host}/a:1", first.home)
    assert everything(f"docker://{host}/a:1", first.home) == everything(NAME, first.home)


@pytest.mark.concurrency
def test_concurrent_pushes_keep_all_signatures(tmp_path: Path) -> None:
    names = [f"signer-{number}" for number in range(8)]
    sides = [Side(tmp_path / name, name) for name in names]
    with serving.serving(tmp_path / "root") as registry, ThreadPoolExecutor(8) as pool:
        copy(NAME, f"docker://{registry.host}/a:1", sides[0].home, with_referrers=False)
        list(pool.map(lambda side: copy(NAME, f"docker://{registry.host}/a:1", side.home), sides))
        assert stored_signatures(registry.host, sides[0].image.digest) == names


def test_an_artifact_that_cannot_be_merged_is_not_overwritten(host: str, tmp_path: Path) -> None:
    first = Side(tmp_path / "one", "one text", suffix=".sbom")
    second = Side(tmp_path / "two", "another", suffix=".sbom")
    copy(NAME, f"docker://{host}/a:1", first.home)
    contents_before = everything(f"docker://{host}/a:1", first.home)
    with pytest.raises(FormatError, match="would be lost") as raised:
        copy(NAME, f"docker://{host}/a:1", second.home)
    assert raised.value.hint is not None
    assert "pumice delete" in raised.value.hint
    assert everything(f"docker://{host}/a:1", first.home) == contents_before
    copy(NAME, f"docker://{host}/a:1", second.home, with_referrers=False)
