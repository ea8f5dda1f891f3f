"""Every step of the protocol with the unusual responses of real registries.

The tables are the specification. A row names the step, the quirk, and the registries that are known for
it. The outcome must be at least as good as with crane and skopeo: either the operation succeeds, or one
sentence reports the error. No row may need more than a few requests, and no truncated list may pass for a
complete one.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pumice.errors import PumiceError
from pumice.formats import oci
from pumice.registry import (
    Client,
    ClientSettings,
    Login,
    Repository,
    RetryPolicy,
    StaticCredentials,
    fallback_tag,
    parse_reference,
)
from pumice.store.home import Home
from tests.support import images, quirks, transfers
from tests.support import registry as support
from tests.support.quirks import Quirk
from tests.support.registry import Registry
from tests.support.transfers import NO_PAUSES

NAME = "example.com/app:1.0"
MOST_REQUESTS = 300
LARGE = random.Random(1).randbytes(2_300_000)
"""Incompressible data, too large for a single request."""


def new_client(registry: Registry) -> Client:
    login = StaticCredentials(registry.host, Login("me", "secret")) if registry.users else None
    settings = ClientSettings(retry_policy=RetryPolicy(attempts=4, initial_delay=0.0, max_delay=0.0))
    return Client(login, settings, time_sources=NO_PAUSES)


@contextmanager
def odd(quirk: Quirk) -> Iterator[Registry]:
    """Serve a registry whose quirk is not active yet."""
    registry = Registry(**dict(quirk.registry))  # type: ignore[arg-type]  # fields of any type
    with support.serving(registry):
        yield registry


@contextmanager
def expected_result(quirk: Quirk, registry: Registry) -> Iterator[None]:
    """Expect the outcome of a quirk, that it occurred, and that few requests were necessary."""
    registry.log.clear()
    registry.quirk = quirk
    if quirk.error:
        with pytest.raises(PumiceError, match=quirk.error) as raised:
            yield
        assert "\n" not in raised.value.message
    else:
        yield
    registry.quirk = None
    assert registry.quirks_shown, "this answer was never given"
    assert len(registry.log) < MOST_REQUESTS


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A store with an image of two platforms, all kinds of referrers, and a layer of several requests."""
    with Home(tmp_path / "store") as opened_home:
        root = transfers.store_signed_index(opened_home, NAME)
        large = images.make(opened_home, [{"large": LARGE}])
        member = oci.encode_document(
            oci.make_index((large.root, *oci.read_index(blob(opened_home, root.digest)).manifests))
        )
        second_index = oci.Descriptor(oci.INDEX, images.put(opened_home, member), len(member))
        about = opened_home.referrers.get(root.digest)
        opened_home.refs.set(NAME, second_index)
        sbom = transfers.referrer(opened_home, second_index, "application/x-sbom")
        opened_home.referrers.add(second_index.digest, [sbom])
        transfers.store_cosign_manifest(opened_home, second_index.digest, "by somebody")
        assert about
        yield opened_home


def blob(home: Home, name: str) -> bytes:
    with home.blobs.open(name) as file:
        return file.read()


def move(source: str, target: str, home: Home, registry: Registry) -> None:
    with new_client(registry) as client:
        transfers.copy_with(client, source, target, home)


def everything(source: str, home: Home, registry: Registry) -> dict[str, bytes]:
    with new_client(registry) as client:
        return transfers.everything_with(client, source, home)


@pytest.mark.parametrize("quirk", quirks.PUSH, ids=str)
def test_push(quirk: Quirk, home: Home) -> None:
    expected = everything(NAME, home, Registry())
    with odd(quirk) as registry:
        with expected_result(quirk, registry):
            move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        if not quirk.error:
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == expected


@pytest.mark.parametrize("quirk", quirks.IMMUTABLE, ids=str)
def test_pushing_the_same_image_to_an_immutable_tag_succeeds(quirk: Quirk, home: Home) -> None:
    with odd(quirk) as registry:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        with expected_result(quirk, registry):
            move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        registry.quirk = quirk
        other_image = images.make(home, [{"other": "content"}], name="example.com/other:1.0")
        with pytest.raises(PumiceError):
            move("example.com/other:1.0", f"docker://{registry.host}/a/app:1.0", home, registry)
        assert registry.tags["a/app"]["1.0"] != other_image.root.digest


@pytest.mark.parametrize("quirk", [*quirks.PULL, *quirks.REFERRERS], ids=str)
def test_pull(quirk: Quirk, home: Home, tmp_path: Path) -> None:
    expected = everything(NAME, home, Registry())
    with odd(quirk) as registry, Home(tmp_path / "other") as other_home:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        with expected_result(quirk, registry):
            with new_client(registry) as client:
                root = client.resolve(parse_reference(f"{registry.host}/a/app:1.0"))
            assert root == home.refs.get(NAME)
            move(f"docker://{registry.host}/a/app:1.0", f"store:{NAME}", other_home, registry)
        if not quirk.error:
            assert everything(NAME, other_home, Registry()) == expected
        with expected_result(quirk, registry):
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == expected


@pytest.mark.parametrize("quirk", quirks.COPY, ids=str)
def test_copy(quirk: Quirk, home: Home) -> None:
    expected = everything(NAME, home, Registry())
    with odd(quirk) as registry:
        source, target = (f"docker://{registry.host}/{name}/app:1.0" for name in ("a", "b"))
        move(NAME, source, home, registry)
        with expected_result(quirk, registry):
            move(source, target, home, registry)
        assert everything(target, home, registry) == expected


@pytest.mark.parametrize("quirk", quirks.LOGIN, ids=str)
def test_login(quirk: Quirk, home: Home) -> None:
    expected = everything(NAME, home, Registry())
    with odd(quirk) as registry:
        with expected_result(quirk, registry):
            move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        if not quirk.error:
            registry.quirk = quirk
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == expected


@pytest.mark.parametrize("quirk", quirks.TAG_LISTS, ids=str)
def test_tags(quirk: Quirk, home: Home) -> None:
    tags = ["a", "b", "c", "d", "e"]
    with odd(quirk) as registry:
        registry.tags["a/app"] = dict.fromkeys(tags, "x")
        registry.page = 2 if quirk.times == 1 else 0
        with expected_result(quirk, registry), new_client(registry) as client:
            expected = [] if quirk.name == "the list is null" else tags
            assert client.list_tags(Repository(registry.host, "a/app")) == expected


CUT = json.dumps({"tags": [f"t{number}" for number in range(1000)]})


@pytest.mark.parametrize(
    "quirk",
    [
        *(quirk for quirk in quirks.TAG_LISTS if quirk.name != "the list is null"),
        Quirk("tags", "the list is cut", "Artifactory", "GET", quirks.TAGS, body=quirks.says(CUT)),
        Quirk("tags", "there is no list", "GHCR", "GET", quirks.TAGS, 404, instead=True),
        Quirk("tags", "so long a list is refused", "distribution", "GET", r"n=1000", 400, instead=True),
    ],
    ids=str,
)
def test_an_incomplete_list_of_tags_does_not_lose_a_signature(quirk: Quirk, home: Home) -> None:
    quirk = Quirk(**{name: getattr(quirk, name) for name in quirk.__dataclass_fields__} | {"error": ""})
    expected = everything(NAME, home, Registry())
    assert [name for name in expected if name.startswith("tag ")]
    with odd(quirk) as registry:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        for number in range(5):
            registry.tags["a/app"][f"0{number}"] = "x"
        registry.page = 2 if quirk.times == 1 else 0
        with expected_result(quirk, registry):
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == expected


@pytest.mark.parametrize("quirk", quirks.DELETE, ids=str)
def test_delete(quirk: Quirk, home: Home) -> None:
    with odd(quirk) as registry:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        reference = parse_reference(f"{registry.host}/a/app:1.0")
        with expected_result(quirk, registry), new_client(registry) as client:
            client.delete(reference)
        with new_client(registry) as client:
            assert (client.head_manifest(reference) is None) is not bool(quirk.error)


# What is under a fallback tag -----------------------------------------------------------------------


def not_a_list(subject: bytes, kind: str) -> tuple[str, bytes]:
    """Return the media type and the document under a fallback tag."""
    document = json.loads(subject)
    hybrid = document | {"mediaType": oci.MANIFEST, "manifests": []}
    platforms = [{"platform": {"architecture": "arm64", "os": "linux"}} | document["config"]]
    return {
        "the subject itself": (oci.MANIFEST, subject),
        "another manifest": (oci.MANIFEST, json.dumps(document | {"annotations": {"a": "b"}}).encode()),
        "a manifest that is an index as well": (oci.MANIFEST, json.dumps(hybrid).encode()),
        "an image of several platforms": (
            oci.INDEX,
            json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": platforms}).encode(),
        ),
        "nonsense": ("text/plain", b"nonsense"),
    }[kind]


@pytest.mark.parametrize("etags", [True, False])
@pytest.mark.parametrize(
    "kind",
    [
        "the subject itself",
        "another manifest",
        "a manifest that is an index as well",
        "an image of several platforms",
        "nonsense",
    ],
)
def test_a_fallback_tag_without_an_index_of_referrers_is_replaced(home: Home, kind: str, etags: bool) -> None:
    registry = Registry(referrers=False, etags=etags)
    subject = images.make(home, [{"file": "content"}])
    data = blob(home, subject.root.digest)
    with support.serving(registry) as host, new_client(registry) as client:
        repository = Repository(host, "a/app")
        registry.put("a/app", data, oci.MANIFEST, "1.0")
        media_type, content = not_a_list(data, kind)
        registry.put("a/app", content, media_type, fallback_tag(subject.root.digest))
        assert client.list_referrers(repository, subject.root.digest) == []
        referrer = transfers.referrer(home, subject.root, "application/x-sbom")
        registry.put("a/app", blob(home, referrer.digest), oci.MANIFEST)
        entry = {"mediaType": oci.MANIFEST, "digest": referrer.digest, "size": referrer.size}
        client.add_fallback_referrers(repository, subject.root.digest, [entry])
        index = client.get_manifest(repository.with_tag(fallback_tag(subject.root.digest)))
        assert index.media_type == oci.INDEX
        assert index.json().keys() == {"schemaVersion", "mediaType", "manifests"}
        assert [link.digest for link in client.list_referrers(repository, subject.root.digest)] == [
            referrer.digest
        ]


def test_a_registry_that_stores_part_of_a_chunk_gets_the_rest() -> None:
    """It reports that in Range, and rejects the blob until the client sends the rest."""
    registry = Registry(takes=1_000_001)
    descriptor = transfers.described(LARGE)
    with support.serving(registry) as host, new_client(registry) as client:
        assert client.upload_blob(Repository(host, "a"), descriptor, LARGE) == "sent"
    assert registry.blobs["a", descriptor.digest] == LARGE
    assert len(registry.log) < 20


def test_every_well_known_registry_is_in_the_tables() -> None:
    assert len({str(row) for row in quirks.ALL}) == len(quirks.ALL)
    reported = " ".join(row.reported_of for row in quirks.ALL)
    for registry in (
        "Docker Hub",
        "ECR",
        "GAR",
        "GHCR",
        "Quay",
        "Harbor",
        "Artifactory",
        "GitLab",
        "Nexus",
        "ACR",
    ):
        assert re.search(rf"\b{registry}\b", reported), registry
