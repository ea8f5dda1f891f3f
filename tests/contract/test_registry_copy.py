"""Copies of images with all referrers between all transports keep all content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pumice.errors import ImageError, PumiceError
from pumice.formats import oci
from pumice.registry import Client, fallback_tag
from pumice.store.home import Home
from tests.support import registry as support
from tests.support import transfers
from tests.support.registry import Registry
from tests.support.transfers import QUICK, copy, everything
from tests.support.wire import Wire

NAME = "example.com/app:1.0"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as opened_home:
        yield opened_home


@pytest.fixture
def signed(home: Home) -> oci.Descriptor:
    return transfers.store_signed_index(home, NAME)


KINDS = ["memory", "bare", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))]


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "debian":
        with support.debian(tmp_path) as where:
            yield where
        return
    registry = (
        Registry() if request.param == "memory" else Registry(referrers=False, ranges=False, mounts=False)
    )
    with support.serving(registry) as where:
        yield where


def test_a_round_trip_through_every_transport_keeps_all_content(
    home: Home, signed: oci.Descriptor, host: str, tmp_path: Path
) -> None:
    contents_before = everything(NAME, home)
    assert len([name for name in contents_before if name.startswith("about ")]) == 3
    assert len([name for name in contents_before if name.startswith("tag ")]) == 1
    hops = [
        *(NAME, f"docker://{host}/a/app:1.0", f"docker://{host}/b/app:1.0", f"oci:{tmp_path}/layout:1.0"),
        *(
            f"oci-archive:{tmp_path}/archive.tar:1.0",
            f"docker://{host}/c/app:1.0",
            "store:example.com/back:1.0",
        ),
    ]
    for source, target in pairwise(hops):
        gathered = copy(source, target, home)
        assert gathered.root.digest == signed.digest
        assert everything(target, home) == contents_before, target


def test_referrers_are_omitted_if_requested(home: Home, signed: oci.Descriptor, host: str) -> None:
    copy(NAME, f"docker://{host}/a/app:1.0", home, with_referrers=False)
    have = everything(f"docker://{host}/a/app:1.0", home)
    assert signed.digest in have
    assert not [name for name in have if name.startswith(("about ", "tag "))]


def test_a_destination_that_cannot_hold_all_content_is_refused(
    home: Home, signed: oci.Descriptor, tmp_path: Path
) -> None:
    for kind in ("docker-archive", "tar", "dir"):
        with pytest.raises(ImageError, match="cannot hold the signatures") as raised:
            copy(NAME, f"{kind}:{tmp_path}/out", home)
        assert raised.value.hint is not None
        assert "--only-image" in raised.value.hint
        assert not (tmp_path / "out").exists()


def test_existing_blobs_are_neither_read_nor_sent(home: Home, signed: oci.Descriptor) -> None:
    registry = Registry()
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/a:1", home)
        registry.log.clear()
        copy(NAME, f"docker://{host}/a:2", home)
        assert registry.logged_paths("POST") == []
        assert registry.logged_paths("PATCH") == []
        registry.log.clear()
        copy(f"docker://{host}/a:2", f"docker://{host}/b:2", home)
        assert registry.logged_paths("GET", "/blobs/") == []
        assert registry.logged_paths("PATCH") == []
        assert registry.logged_paths("PUT", "digest=") == []
        with Home(home.root.parent / "other") as other_home:
            copy(f"docker://{host}/b:2", "store:x.example/b:2", other_home)
            registry.log.clear()
            copy(f"docker://{host}/b:2", "store:x.example/b:2", other_home)
        assert registry.logged_paths("GET", "/blobs/") == []


def test_the_tag_comes_last(home: Home, signed: oci.Descriptor) -> None:
    registry = Registry()
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/a:1", home)
    assert registry.logged_paths("PUT")[-1] == "/v2/a/manifests/1"


def test_a_listed_referrer_that_is_missing_is_an_error(home: Home, signed: oci.Descriptor) -> None:
    registry = Registry(referrers=False)
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/a:1", home)
        name = next(
            key
            for key in registry.manifests
            if key[0] == "a"
            and b"x-attestation" in registry.manifests[key][1]
            and b"subject" in registry.manifests[key][1]
        )
        del registry.manifests[name]
        with pytest.raises(PumiceError, match="not found in the registry"):
            copy(f"docker://{host}/a:1", "store:x.example/a:1", home)
    assert home.refs.get("x.example/a:1") is None


def test_an_existing_list_of_referrers_is_extended(home: Home, signed: oci.Descriptor) -> None:
    registry = Registry(referrers=False)
    theirs = {"mediaType": oci.MANIFEST, "digest": "", "size": 2, "x-more": 1}
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/a:1", home, with_referrers=False)
        theirs["digest"] = registry.put("a", b"{}", oci.MANIFEST)
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [theirs], "x-list": [1.5]}
        registry.put("a", json.dumps(index).encode(), oci.INDEX, fallback_tag(signed.digest))
        copy(NAME, f"docker://{host}/a:1", home)
        key = registry.tags["a"][fallback_tag(signed.digest)]
        list_after = json.loads(registry.manifests["a", key][1])
    assert list_after["x-list"] == [1.5]
    assert list_after["manifests"][0] == theirs
    assert len(list_after["manifests"]) == 2


def _total(home: Home, source: str, target: str, host: str) -> int:
    with Wire(host, 1 << 40) as wire:
        copy(source.format(wire.host), target.format(wire.host), home)
        return wire.count


@pytest.mark.parametrize("direction", ["push", "pull", "copy"])
def test_a_copy_survives_a_cut_anywhere(
    home: Home, signed: oci.Descriptor, direction: str, tmp_path: Path
) -> None:
    """The connection breaks after N bytes, for values of N over the whole transfer."""
    contents_before = everything(NAME, home)
    registry = Registry()
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/from:1", home)
        source = NAME if direction == "push" else "docker://{}/from:1"

        def target(number: int) -> str:
            return f"store:to.example/{number}:1" if direction == "pull" else f"docker://{{}}/to{number}:1"

        registry.mounts = False
        with Home(tmp_path / "measure") as other_home:
            reader = home if direction == "push" else other_home
            total = _total(reader, source, target(999), host)
        for number, cut_offset in enumerate(range(0, total, max(1, total // 18))):
            with Home(tmp_path / f"pulled-{number}") as other_home, Wire(host, cut_offset) as wire:
                reader = home if direction == "push" else other_home
                location = target(number).format(wire.host)
                copy(source.format(wire.host), location, reader)
                assert wire.is_cut or number > 15  # the number of transferred bytes varies a little
                assert everything(location.replace(wire.host, host), reader) == contents_before


def test_an_unreachable_registry_leaves_no_name_in_the_store(home: Home, signed: oci.Descriptor) -> None:
    registry = Registry()
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/a:1", home)
        for key in list(registry.blobs):
            registry.blobs[key] = b"damaged"
        with Home(home.root.parent / "other") as other_home:
            with pytest.raises(PumiceError):
                copy(f"docker://{host}/a:1", "store:x.example/a:1", other_home)
            assert other_home.refs.names() == []
            assert all(other_home.blobs.verify(blob_digest) for blob_digest in other_home.blobs.digests())


def test_a_repository_with_many_tags_is_not_listed_completely(home: Home, signed: oci.Descriptor) -> None:
    registry = Registry(page=3)
    with support.serving(registry) as host:
        copy(NAME, f"docker://{host}/a:1", home)
        registry.tags["a"] |= {f"t{number}": "x" for number in range(20)}
        registry.log.clear()
        have = everything(f"docker://{host}/a:1", home)
    assert have == everything(NAME, home)
    assert len(registry.logged_paths("GET", "/tags/list")) == 1


def test_sha512_goes_from_registry_to_registry_and_is_refused_by_the_store(home: Home) -> None:
    import hashlib

    blob = b"content"
    name = f"sha512:{hashlib.sha512(blob).hexdigest()}"
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.EMPTY, "digest": name, "size": len(blob)},
        "layers": [],
    }
    registry = Registry(mounts=False)
    registry.blobs["a", name] = blob
    registry.put("a", json.dumps(document).encode(), oci.MANIFEST, "1")
    with support.serving(registry) as host:
        copy(f"docker://{host}/a:1", f"docker://{host}/b:1", home)
        assert registry.blobs["b", name] == blob
        with pytest.raises(PumiceError, match="is not a sha256 digest"):
            copy(f"docker://{host}/a:1", "store:x.example/a:1", home)


def test_an_image_in_a_registry_is_read_without_a_pull(home: Home, signed: oci.Descriptor, host: str) -> None:
    copy(NAME, f"docker://{host}/a:1", home)
    with Client(settings=QUICK) as client:
        image = transfers.open_source(f"docker://{host}/a:1", home, client).image
        amd, arm = image.platforms()
        assert (amd.architecture, arm.architecture) == ("amd64", "arm64")
        (layer,) = image.layers(arm)
        contents = {entry.path: body.read(1 << 20) for entry, body in layer.entries() if entry.kind == "file"}
    assert contents == {"file": b"arm64 " * 1000}
