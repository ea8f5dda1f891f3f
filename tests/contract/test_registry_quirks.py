"""Registries as they are: every step of the protocol against the odd answers that registries give.

The tables are the specification. A row names the step, the oddity, and of which registries it is
reported; what has to come out is what crane and skopeo do, or better: everything works as if the answer
were a usual one, or one sentence says what is wrong. No row may take more than a few requests, and no
odd answer may pass for "that was all".
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

NAME = "example.com/app:1.0"
MOST_REQUESTS = 300
LARGE = random.Random(1).randbytes(2_300_000)
"""What no compression brings below the size that goes in one request."""


def client(registry: Registry) -> Client:
    login = StaticCredentials(registry.host, Login("me", "secret")) if registry.users else None
    settings = ClientSettings(retry_policy=RetryPolicy(attempts=4, initial_delay=0.0, max_delay=0.0))
    return Client(login, settings, sleep=lambda _: None)


@contextmanager
def odd(quirk: Quirk) -> Iterator[Registry]:
    """Serve a registry that is not odd yet."""
    registry = Registry(**dict(quirk.registry))  # type: ignore[arg-type]
    with support.serving(registry):
        yield registry


@contextmanager
def outcome(quirk: Quirk, registry: Registry) -> Iterator[None]:
    """Expect what has to come out of a quirk, and that it came up and was dealt with soon."""
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
    with Home(tmp_path / "store") as opened:
        root = transfers.signed(opened, NAME)
        large = images.make(opened, [{"large": LARGE}])
        member = oci.encode_document(
            oci.make_index((large.root, *oci.read_index(blob(opened, root.digest)).manifests))
        )
        again = oci.Descriptor(oci.INDEX, images.put(opened, member), len(member))
        about = opened.referrers.get(root.digest)
        opened.refs.set(NAME, again)
        sbom = transfers.referrer(opened, again, "application/x-sbom")
        opened.referrers.add(again.digest, [sbom])
        transfers.cosigned(opened, again.digest, "by somebody")
        assert about
        yield opened


def blob(home: Home, name: str) -> bytes:
    with home.blobs.open(name) as file:
        return file.read()


def move(source: str, target: str, home: Home, registry: Registry) -> None:
    with client(registry) as one:
        transfers.copy_with(one, source, target, home)


def everything(source: str, home: Home, registry: Registry) -> dict[str, bytes]:
    with client(registry) as one:
        return transfers.everything_with(one, source, home)


@pytest.mark.parametrize("quirk", quirks.PUSH, ids=str)
def test_push(quirk: Quirk, home: Home) -> None:
    before = everything(NAME, home, Registry())
    with odd(quirk) as registry:
        with outcome(quirk, registry):
            move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        if not quirk.error:
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == before


@pytest.mark.parametrize("quirk", quirks.IMMUTABLE, ids=str)
def test_a_push_of_what_an_immutable_tag_stands_for_is_done(quirk: Quirk, home: Home) -> None:
    with odd(quirk) as registry:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        with outcome(quirk, registry):
            move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        registry.quirk = quirk
        other = images.make(home, [{"other": "content"}], name="example.com/other:1.0")
        with pytest.raises(PumiceError):
            move("example.com/other:1.0", f"docker://{registry.host}/a/app:1.0", home, registry)
        assert registry.tags["a/app"]["1.0"] != other.root.digest


@pytest.mark.parametrize("quirk", [*quirks.PULL, *quirks.REFERRERS], ids=str)
def test_pull(quirk: Quirk, home: Home, tmp_path: Path) -> None:
    before = everything(NAME, home, Registry())
    with odd(quirk) as registry, Home(tmp_path / "other") as other:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        with outcome(quirk, registry):
            with client(registry) as one:
                root = one.resolve(parse_reference(f"{registry.host}/a/app:1.0"))
            assert root == home.refs.get(NAME)
            move(f"docker://{registry.host}/a/app:1.0", f"store:{NAME}", other, registry)
        if not quirk.error:
            assert everything(NAME, other, Registry()) == before
        with outcome(quirk, registry):
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == before


@pytest.mark.parametrize("quirk", quirks.COPY, ids=str)
def test_copy(quirk: Quirk, home: Home) -> None:
    before = everything(NAME, home, Registry())
    with odd(quirk) as registry:
        source, target = (f"docker://{registry.host}/{name}/app:1.0" for name in ("a", "b"))
        move(NAME, source, home, registry)
        with outcome(quirk, registry):
            move(source, target, home, registry)
        assert everything(target, home, registry) == before


@pytest.mark.parametrize("quirk", quirks.LOGIN, ids=str)
def test_login(quirk: Quirk, home: Home) -> None:
    before = everything(NAME, home, Registry())
    with odd(quirk) as registry:
        with outcome(quirk, registry):
            move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        if not quirk.error:
            registry.quirk = quirk
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == before


@pytest.mark.parametrize("quirk", quirks.TAG_LISTS, ids=str)
def test_tags(quirk: Quirk, home: Home) -> None:
    tags = ["a", "b", "c", "d", "e"]
    with odd(quirk) as registry:
        registry.tags["a/app"] = dict.fromkeys(tags, "x")
        registry.page = 2 if quirk.times == 1 else 0
        with outcome(quirk, registry), client(registry) as one:
            expected = [] if quirk.name == "the list is null" else tags
            assert one.list_tags(Repository(registry.host, "a/app")) == expected


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
def test_no_list_of_tags_leaves_a_signature_behind(quirk: Quirk, home: Home) -> None:
    quirk = Quirk(**{name: getattr(quirk, name) for name in quirk.__dataclass_fields__} | {"error": ""})
    before = everything(NAME, home, Registry())
    assert [name for name in before if name.startswith("tag ")]
    with odd(quirk) as registry:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        for number in range(5):
            registry.tags["a/app"][f"0{number}"] = "x"
        registry.page = 2 if quirk.times == 1 else 0
        with outcome(quirk, registry):
            assert everything(f"docker://{registry.host}/a/app:1.0", home, registry) == before


@pytest.mark.parametrize("quirk", quirks.DELETE, ids=str)
def test_delete(quirk: Quirk, home: Home) -> None:
    with odd(quirk) as registry:
        move(NAME, f"docker://{registry.host}/a/app:1.0", home, registry)
        reference = parse_reference(f"{registry.host}/a/app:1.0")
        with outcome(quirk, registry), client(registry) as one:
            one.delete(reference)
        with client(registry) as one:
            assert (one.head_manifest(reference) is None) is not bool(quirk.error)


# What is under a fallback tag -----------------------------------------------------------------------


def not_a_list(subject: bytes, kind: str) -> tuple[str, bytes]:
    """Return the type and the document that is found under a fallback tag."""
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
def test_what_is_not_a_list_of_referrers_counts_as_absent(home: Home, kind: str, etags: bool) -> None:
    registry = Registry(referrers=False, etags=etags)
    subject = images.make(home, [{"file": "content"}])
    data = blob(home, subject.root.digest)
    with support.serving(registry) as host, client(registry) as one:
        repository = Repository(host, "a/app")
        registry.put("a/app", data, oci.MANIFEST, "1.0")
        media_type, found = not_a_list(data, kind)
        registry.put("a/app", found, media_type, fallback_tag(subject.root.digest))
        assert one.list_referrers(repository, subject.root.digest) == []
        about = transfers.referrer(home, subject.root, "application/x-sbom")
        registry.put("a/app", blob(home, about.digest), oci.MANIFEST)
        entry = {"mediaType": oci.MANIFEST, "digest": about.digest, "size": about.size}
        one.add_fallback_referrers(repository, subject.root.digest, [entry])
        listed = one.get_manifest(repository.with_tag(fallback_tag(subject.root.digest)))
        assert listed.media_type == oci.INDEX
        assert listed.json().keys() == {"schemaVersion", "mediaType", "manifests"}
        assert [link.digest for link in one.list_referrers(repository, subject.root.digest)] == [about.digest]


def test_a_registry_that_keeps_less_of_a_part_gets_the_rest() -> None:
    """It says so in Range, and refuses the blob as long as nobody minds."""
    registry = Registry(takes=1_000_001)
    descriptor = transfers.described(LARGE)
    with support.serving(registry) as host, client(registry) as one:
        assert one.upload_blob(Repository(host, "a"), descriptor, LARGE) == "sent"
    assert registry.blobs["a", descriptor.digest] == LARGE
    assert len(registry.log) < 20


def test_every_registry_of_renown_is_in_the_tables() -> None:
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
