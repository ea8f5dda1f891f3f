"""The client against a strict registry in memory that misbehaves as asked, and against Debian's."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pumice.errors import FormatError, PumiceError, TrustError
from pumice.formats import oci
from pumice.registry import (
    Client,
    ClientSettings,
    DeniedError,
    Login,
    NotFoundError,
    RegistryError,
    Repository,
    RetryPolicy,
    StaticCredentials,
    TransportError,
    fallback_tag,
)
from tests.support import registry as support
from tests.support.registry import Registry
from tests.support.wire import Wire

BIG = bytes(range(256)) * 12_000
QUICK = RetryPolicy(attempts=4, initial_delay=0.0, max_delay=0.0)


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, algorithm: str = "sha256") -> oci.Descriptor:
    return oci.Descriptor("application/octet-stream", digest(data, algorithm), len(data))


class Notes:
    """A progress display that remembers, and a pause that does not wait."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.pauses: list[float] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def client(notes: Notes | None = None, login: tuple[str, Login] | None = None, **settings: Any) -> Client:
    notes = notes or Notes()
    return Client(
        StaticCredentials(*login) if login else None,
        ClientSettings(retry_policy=QUICK, **settings),
        progress=notes,  # type: ignore[arg-type]
        sleep=notes.pauses.append,
        jitter=lambda: 0.5,
    )


def manifest(config: bytes = b"{}", **more: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.EMPTY, "digest": digest(config), "size": len(config)},
        "layers": [],
        "x-unknown": {"kept": [1, 2.5]},
        **more,
    }
    return json.dumps(document, indent=3).encode()


@pytest.fixture(params=["memory", "bare", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repository]:
    """One with the referrers API, one with as little as is allowed, and a real one."""
    if request.param == "debian":
        with support.debian(tmp_path) as host:
            yield Repository(host, "team/app")
        return
    bare = Registry(referrers=False, ranges=False, resumes=False, mounts=False)
    with support.serving(Registry(etags=True) if request.param == "memory" else bare) as host:
        yield Repository(host, "team/app")


# What every registry does ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, len(BIG)])
@pytest.mark.parametrize("chunk", [0, 1 << 20])
def test_a_blob_goes_up_once_and_comes_back(repository: Repository, size: int, chunk: int) -> None:
    data = BIG[:size]
    opened = []

    def source() -> io.BytesIO:
        opened.append(1)
        return io.BytesIO(data)

    with client(chunk_size=chunk) as one:
        assert one.upload_blob(repository, descriptor(data), source) == "sent"
        assert one.upload_blob(repository, descriptor(data), source) == "present"
        assert one.head_blob(repository, digest(data)) == size
        with one.open_blob(repository, digest(data), size) as file:
            assert file.read() == data
    assert len(opened) <= 1


def test_a_blob_is_mounted_where_that_is_possible(repository: Repository) -> None:
    other = Repository(repository.host, "other/app")
    with client() as one:
        one.upload_blob(repository, descriptor(BIG), BIG)
        outcome = one.upload_blob(other, descriptor(BIG), BIG, mount_from=repository)
        assert outcome in ("mounted", "sent")
        assert one.head_blob(other, digest(BIG)) == len(BIG)


def test_manifests_are_kept_byte_for_byte(repository: Repository) -> None:
    data = manifest()
    with client() as one:
        one.upload_blob(repository, descriptor(b"{}"), b"{}")
        assert one.head_manifest(repository.with_tag("1.0")) is None
        stored = one.put_manifest(repository.with_tag("1.0"), data, oci.MANIFEST)
        assert stored.digest == digest(data)
        found = one.get_manifest(repository.with_tag("1.0"))
        assert (found.data, found.digest, found.media_type) == (data, digest(data), oci.MANIFEST)
        assert found.json()["x-unknown"] == {"kept": [1, 2.5]}
        assert one.resolve(repository.with_tag("1.0")) == found.descriptor
        assert one.resolve(repository.with_digest(digest(data))) == found.descriptor
        assert one.list_tags(repository) == ["1.0"]
        one.delete_manifest(repository.with_digest(digest(data)))
        assert one.head_manifest(repository.with_digest(digest(data))) is None


def test_what_is_not_there_is_not_found(repository: Repository) -> None:
    with client() as one:
        with pytest.raises(NotFoundError) as raised:
            one.get_manifest(repository.with_tag("none"))
        assert raised.value.status == 404
        with pytest.raises(NotFoundError):
            one.resolve(repository.with_tag("none"))
        with pytest.raises(NotFoundError):
            one.open_blob(repository, digest(b"none"))
        assert one.head_blob(repository, digest(b"none")) is None
        assert one.list_referrers(repository, digest(b"none")) == []


def test_referrers_are_found_with_and_without_the_api(repository: Repository) -> None:
    subject = manifest()
    with client() as one:
        one.upload_blob(repository, descriptor(b"{}"), b"{}")
        one.put_manifest(repository.with_tag("1.0"), subject, oci.MANIFEST)
        put = []
        for kind in ("application/x-sbom", "application/x-signature"):
            about = {"mediaType": oci.MANIFEST, "digest": digest(subject), "size": len(subject)}
            data = manifest(subject=about, artifactType=kind, annotations={"of": kind})
            stored = one.put_manifest(repository.with_digest(digest(data)), data, oci.MANIFEST)
            put.append(stored.digest)
            if not stored.is_listed:
                entry = {"mediaType": oci.MANIFEST, "digest": stored.digest, "size": len(data)}
                entry |= {"artifactType": kind, "annotations": {"of": kind}, "x-more": 1}
                one.add_fallback_referrers(repository, digest(subject), [entry])
                one.add_fallback_referrers(repository, digest(subject), [entry])
        found = one.list_referrers(repository, digest(subject))
        assert sorted(link.digest for link in found) == sorted(put)
        assert {link.descriptor.annotations["of"] for link in found} == {
            "application/x-sbom",
            "application/x-signature",
        }
        assert all(set(json.loads(link.raw)) - {"mediaType", "digest", "size"} for link in found)
        (only,) = one.list_referrers(repository, digest(subject), "application/x-sbom")
        assert only.digest == put[0]
        one.delete(repository.with_digest(put[0]))
        assert [link.digest for link in one.list_referrers(repository, digest(subject))] == [put[1]]


# Chunks, and connections that break -----------------------------------------------------------------


def test_chunks_are_as_large_as_the_registry_wants() -> None:
    registry = Registry(minimum=1 << 20)
    with support.serving(registry) as host, client(chunk_size=1000) as one:
        assert one.upload_blob(Repository(host, "a"), descriptor(BIG), BIG) == "sent"
    assert len(registry.asked("PATCH")) == 3


def test_a_blob_that_is_too_large_for_one_request_goes_in_several() -> None:
    data = bytes(40 << 20)
    registry = Registry(largest=20 << 20)
    with support.serving(registry) as host, client() as one:
        assert one.upload_blob(Repository(host, "a"), descriptor(data), data) == "sent"
    assert registry.blobs["a", digest(data)] == data


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("after", [0, 1, 300, 700, 40_000, 1_500_000, 3_072_400, 3_072_900, 3_073_300])
def test_a_push_survives_a_cut(after: int, resumes: bool) -> None:
    registry = Registry(resumes=resumes)
    with support.serving(registry) as host, Wire(host, after) as wire, client(chunk_size=1 << 20) as one:
        assert one.upload_blob(Repository(wire.host, "a"), descriptor(BIG), BIG) in ("sent", "present")
    assert registry.blobs["a", digest(BIG)] == BIG


def test_a_push_goes_on_where_it_was_cut() -> None:
    registry = Registry()
    sent: list[int] = []
    with support.serving(registry) as host, Wire(host, 2_500_000) as wire, client() as one:
        one.upload_blob(Repository(wire.host, "a"), descriptor(BIG), BIG, on_sent=sent.append)
        assert wire.is_cut
    assert len(registry.asked("POST")) == 1
    assert any(
        "Content-Range" in headers and not headers["Content-Range"].startswith("0-")
        for verb, _, headers in registry.log
        if verb == "PATCH"
    )
    assert wire.count < len(BIG) + 800_000


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("after", [0, 1, 200, 350, 100_000, 3_000_000, 3_072_100])
def test_a_pull_survives_a_cut(after: int, ranges: bool) -> None:
    registry = Registry(ranges=ranges)
    registry.blobs["a", digest(BIG)] = BIG
    with support.serving(registry) as host, Wire(host, after) as wire, client() as one:
        with one.open_blob(Repository(wire.host, "a"), digest(BIG), len(BIG)) as file:
            assert file.read() == BIG
        assert wire.is_cut
    assert any("Range" in headers for _, _, headers in registry.log) == (after > 500)


def test_patience_has_an_end() -> None:
    with client() as one, pytest.raises(TransportError, match="cannot connect"):
        one.list_tags(Repository("127.0.0.1:1", "a"))


# Lies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [b"x", BIG[:-1] + b"!", BIG + b"x", BIG[1:]])
@pytest.mark.parametrize("size", [len(BIG), None])
def test_a_blob_that_is_another_is_refused(lie: bytes, size: int | None) -> None:
    registry = Registry(lies=lie)
    registry.blobs["a", digest(BIG)] = BIG
    with (
        support.serving(registry) as host,
        client() as one,
        pytest.raises((TrustError, TransportError)),
        one.open_blob(Repository(host, "a"), digest(BIG), size) as file,
    ):
        file.read()


def test_a_manifest_that_is_another_is_refused() -> None:
    registry = Registry()
    key = digest(b"something else")
    registry.manifests["a", key] = (oci.MANIFEST, manifest())
    registry.tags["a"] = {"t": key}
    with support.serving(registry) as host, client() as one:
        for reference in (Repository(host, "a").with_digest(key), Repository(host, "a").with_tag("t")):
            with pytest.raises(TrustError):
                one.get_manifest(reference)


def test_what_is_sent_is_checked_before_its_end_is_sent() -> None:
    registry = Registry()
    wrong = BIG[:-1] + b"!"
    with support.serving(registry) as host, client() as one:
        for given in (wrong, BIG[:-1], BIG + b"x"):
            with pytest.raises(PumiceError, match="does not match its digest"):
                one.upload_blob(Repository(host, "a"), descriptor(BIG), given)
    assert registry.blobs == {}


def test_a_manifest_may_have_4_mib_and_no_more() -> None:
    registry = Registry()
    exact = manifest(annotations={"a": ""})
    exact = manifest(annotations={"a": "x" * ((4 << 20) - len(exact))})
    registry.put("a", exact, oci.MANIFEST, "most")
    registry.put("a", exact + b" ", oci.MANIFEST, "more")
    with support.serving(registry) as host, client() as one:
        assert one.get_manifest(Repository(host, "a").with_tag("most")).data == exact
        with pytest.raises(RegistryError, match="larger than"):
            one.get_manifest(Repository(host, "a").with_tag("more"))


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b"[" * 100_000, b'{"manifests": 5}', b'{"tags": {}}'])
def test_lists_that_are_none_are_refused(body: bytes) -> None:
    registry = Registry(referrers=False)
    registry.put("a", body, oci.INDEX, fallback_tag(digest(b"")))
    with support.serving(registry) as host, client() as one, pytest.raises(FormatError):
        one.list_referrers(Repository(host, "a"), digest(b""))
        raise FormatError("no list at all is an empty one")


# Logging in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [True, False])
def test_a_login_is_only_sent_when_it_is_wanted(tokens: bool) -> None:
    registry = Registry(users={"me": "secret"}, tokens=tokens)
    with support.serving(registry) as host:
        with client(login=(host, Login("me", "secret"))) as one:
            one.upload_blob(Repository(host, "a"), descriptor(BIG), BIG)
            assert one.list_tags(Repository(host, "a")) == []
        assert "Authorization" not in registry.log[0][2]
        unauthorised = [entry for entry in registry.log if "Authorization" not in entry[2]]
        assert len(unauthorised) == 1
        with client(login=(host, Login("me", "wrong"))) as one, pytest.raises(DeniedError):
            one.list_tags(Repository(host, "a"))
        with client() as one, pytest.raises(DeniedError, match="login"):
            one.list_tags(Repository(host, "a"))


def test_a_token_that_ends_is_replaced_in_the_middle_of_a_push() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True, token_uses=2)
    with (
        support.serving(registry) as host,
        client(login=(host, Login("me", "secret")), chunk_size=400_000) as one,
    ):
        assert one.upload_blob(Repository(host, "a"), descriptor(BIG), BIG) == "sent"
    assert registry.blobs["a", digest(BIG)] == BIG
    assert len(registry.issued) > 3


def test_an_identity_token_is_exchanged() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True)
    with support.serving(registry) as host, client(login=(host, Login(identity_token="identity"))) as one:
        one.list_tags(Repository(host, "a"))
    assert registry.asked("POST", "/token")


@pytest.mark.concurrency
def test_threads_share_one_token() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True)
    with support.serving(registry) as host, client(login=(host, Login("me", "secret"))) as one:
        threads = [threading.Thread(target=one.list_tags, args=(Repository(host, "a"),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(registry.issued) == 1


def test_the_scope_is_what_is_needed() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True)
    with support.serving(registry) as host, client(login=(host, Login("me", "secret"))) as one:
        one.list_tags(Repository(host, "team/a"))
        registry.blobs["b", digest(b"x")] = b"x"
        one.upload_blob(Repository(host, "team/a"), descriptor(b"x"), b"x", mount_from=Repository(host, "b"))
    first, *_, last = registry.asked("GET", "/token")
    assert "scope=repository%3Ateam%2Fa%3Apull&" in first
    assert "scope=repository%3Ab%3Apull&scope=repository%3Ateam%2Fa%3Apull%2Cpush" in last


def test_a_login_does_not_follow_a_redirection() -> None:
    other = Registry()
    other.blobs["a", digest(BIG)] = BIG
    registry = Registry(users={"me": "secret"})
    registry.blobs["a", digest(BIG)] = BIG
    with support.serving(other) as there, support.serving(registry) as host:
        # Another port is another origin.
        handler = other.blobs
        registry.elsewhere = f"http://{there}/v2"
        other.blobs = {**handler}
        with client(login=(host, Login("me", "secret"))) as one:
            try:
                with one.open_blob(Repository(host, "a"), digest(BIG), len(BIG)) as file:
                    file.read()
            except PumiceError:
                pass
    assert other.log
    assert all("Authorization" not in headers for _, _, headers in other.log)


def test_a_login_is_not_sent_in_the_clear_to_another_machine() -> None:
    from pumice.registry.message import Request, Response

    class Recording:
        def __init__(self) -> None:
            self.asked: list[Request] = []

        def send(self, request: Request) -> Response:
            self.asked.append(request)
            return Response(401, (("WWW-Authenticate", "Basic realm=x"),))

        def close(self) -> None:
            pass

    for plain, expected in ((True, 1), (False, 2)):
        transport = Recording()
        login = StaticCredentials("registry.example", Login("me", "secret"))
        with (
            Client(login, ClientSettings(plain_http=plain), transport=transport) as one,
            pytest.raises(DeniedError),
        ):
            one.list_tags(Repository("registry.example", "a"))
        assert len(transport.asked) == expected
        assert any(name == "Authorization" for one_ in transport.asked for name, _ in one_.headers) == (
            not plain
        )


# Manners --------------------------------------------------------------------------------------------


def test_a_busy_registry_is_left_alone_for_as_long_as_it_says() -> None:
    notes = Notes()
    registry = Registry(busy=2, retry_after="7")
    with support.serving(registry) as host, client(notes) as one:
        assert one.list_tags(Repository(host, "a")) == []
    assert notes.pauses == [7.0, 7.0]
    registry = Registry(busy=1, retry_after="86400")
    with (
        support.serving(registry) as host,
        client(notes) as one,
        pytest.raises(RegistryError, match="86400 seconds"),
    ):
        one.list_tags(Repository(host, "a"))
    registry = Registry(busy=99, retry_after="never")
    with (
        support.serving(registry) as host,
        client(notes) as one,
        pytest.raises(RegistryError, match="too many requests to"),
    ):
        one.list_tags(Repository(host, "a"))


def test_a_warning_is_shown_once() -> None:
    notes = Notes()
    with support.serving(Registry(warning='299 - "moving soon"')) as host, client(notes) as one:
        for _ in range(3):
            one.list_tags(Repository(host, "a"))
    assert notes.warnings == [f"warning from {host}: moving soon"]


def test_tags_come_in_pages() -> None:
    registry = Registry(page=2)
    registry.tags["a"] = {f"t{number}": "x" for number in range(7)}
    with support.serving(registry) as host, client() as one:
        assert one.list_tags(Repository(host, "a")) == [f"t{number}" for number in range(7)]
        assert one.list_tags(Repository(host, "a"), page_size=1) == [f"t{number}" for number in range(7)]


@pytest.mark.concurrency
def test_lists_of_referrers_are_kept_whole_when_others_change_them() -> None:
    registry = Registry(referrers=False, etags=True)
    subject = digest(b"subject")
    with support.serving(registry) as host, client() as one:
        repository = Repository(host, "a")
        entries = []
        for number in range(8):
            data = manifest(number=number, layers=[])
            registry.blobs["a", digest(b"{}")] = b"{}"
            registry.put("a", data, oci.MANIFEST)
            entries.append({"mediaType": oci.MANIFEST, "digest": digest(data), "size": len(data)})
        threads = [
            threading.Thread(target=one.add_fallback_referrers, args=(repository, subject, [entry]))
            for entry in entries
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = {link.digest for link in one.list_referrers(repository, subject)}
    assert found == {entry["digest"] for entry in entries}
