"""The client with a strict in-memory registry that can inject faults, and with Debian's docker-registry."""

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
from pumice.registry.time_sources import TimeSources
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
    """Records warnings and pauses, without waiting."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.pauses: list[float] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def new_client(notes: Notes | None = None, login: tuple[str, Login] | None = None, **settings: Any) -> Client:
    notes = notes or Notes()
    return Client(
        StaticCredentials(*login) if login else None,
        ClientSettings(retry_policy=QUICK, **settings),
        progress=notes,  # type: ignore[arg-type]  # the client only calls warn
        time_sources=TimeSources(sleep=notes.pauses.append, jitter=lambda: 0.5),
    )


def manifest(config: bytes = b"{}", **fields: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": oci.EMPTY, "digest": digest(config), "size": len(config)},
        "layers": [],
        "x-unknown": {"kept": [1, 2.5]},
        **fields,
    }
    return json.dumps(document, indent=3).encode()


@pytest.fixture(params=["memory", "bare", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repository]:
    """A repository in a registry with the referrers API, in a minimal one, and in docker-registry."""
    if request.param == "debian":
        with support.debian(tmp_path) as host:
            yield Repository(host, "team/app")
        return
    minimal_registry = Registry(referrers=False, ranges=False, resumes=False, mounts=False)
    with support.serving(Registry(etags=True) if request.param == "memory" else minimal_registry) as host:
        yield Repository(host, "team/app")


# Requirements for every registry ----------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, len(BIG)])
@pytest.mark.parametrize("chunk", [0, 1 << 20])
def test_a_blob_is_uploaded_once_and_downloaded(repository: Repository, size: int, chunk: int) -> None:
    data = BIG[:size]
    opened_digests = []

    def source() -> io.BytesIO:
        opened_digests.append(1)
        return io.BytesIO(data)

    with new_client(chunk_size=chunk) as client:
        assert client.upload_blob(repository, descriptor(data), source) == "sent"
        assert client.upload_blob(repository, descriptor(data), source) == "present"
        assert client.head_blob(repository, digest(data)) == size
        with client.open_blob(repository, digest(data), size) as file:
            assert file.read() == data
    assert len(opened_digests) <= 1


def test_a_blob_is_mounted_from_the_same_registry(repository: Repository) -> None:
    other_repository = Repository(repository.host, "other/app")
    with new_client() as client:
        client.upload_blob(repository, descriptor(BIG), BIG)
        upload_kind = client.upload_blob(other_repository, descriptor(BIG), BIG, mount_from=repository)
        assert upload_kind in ("mounted", "sent")
        assert client.head_blob(other_repository, digest(BIG)) == len(BIG)


def test_manifests_are_stored_byte_for_byte(repository: Repository) -> None:
    data = manifest()
    with new_client() as client:
        client.upload_blob(repository, descriptor(b"{}"), b"{}")
        assert client.head_manifest(repository.with_tag("1.0")) is None
        pushed = client.put_manifest(repository.with_tag("1.0"), data, oci.MANIFEST)
        assert pushed.digest == digest(data)
        stored_manifest = client.get_manifest(repository.with_tag("1.0"))
        assert (stored_manifest.data, stored_manifest.digest, stored_manifest.media_type) == (
            data,
            digest(data),
            oci.MANIFEST,
        )
        assert stored_manifest.json()["x-unknown"] == {"kept": [1, 2.5]}
        assert client.resolve(repository.with_tag("1.0")) == stored_manifest.descriptor
        assert client.resolve(repository.with_digest(digest(data))) == stored_manifest.descriptor
        assert client.list_tags(repository) == ["1.0"]
        client.delete_manifest(repository.with_digest(digest(data)))
        assert client.head_manifest(repository.with_digest(digest(data))) is None


def test_missing_content_is_reported_as_not_found(repository: Repository) -> None:
    with new_client() as client:
        with pytest.raises(NotFoundError) as raised:
            client.get_manifest(repository.with_tag("none"))
        assert raised.value.status == 404
        with pytest.raises(NotFoundError):
            client.resolve(repository.with_tag("none"))
        with pytest.raises(NotFoundError):
            client.open_blob(repository, digest(b"none"))
        assert client.head_blob(repository, digest(b"none")) is None
        assert client.list_referrers(repository, digest(b"none")) == []


def test_referrers_are_listed_with_and_without_the_api(repository: Repository) -> None:
    subject = manifest()
    with new_client() as client:
        client.upload_blob(repository, descriptor(b"{}"), b"{}")
        client.put_manifest(repository.with_tag("1.0"), subject, oci.MANIFEST)
        put = []
        for kind in ("application/x-sbom", "application/x-signature"):
            about = {"mediaType": oci.MANIFEST, "digest": digest(subject), "size": len(subject)}
            data = manifest(subject=about, artifactType=kind, annotations={"of": kind})
            stored = client.put_manifest(repository.with_digest(digest(data)), data, oci.MANIFEST)
            put.append(stored.digest)
            if not stored.is_listed:
                entry = {"mediaType": oci.MANIFEST, "digest": stored.digest, "size": len(data)}
                entry |= {"artifactType": kind, "annotations": {"of": kind}, "x-more": 1}
                client.add_fallback_referrers(repository, digest(subject), [entry])
                client.add_fallback_referrers(repository, digest(subject), [entry])
        referrers = client.list_referrers(repository, digest(subject))
        assert sorted(link.digest for link in referrers) == sorted(put)
        assert {link.descriptor.annotations["of"] for link in referrers} == {
            "application/x-sbom",
            "application/x-signature",
        }
        assert all(set(json.loads(link.raw)) - {"mediaType", "digest", "size"} for link in referrers)
        (sbom,) = client.list_referrers(repository, digest(subject), "application/x-sbom")
        assert sbom.digest == put[0]
        client.delete(repository.with_digest(put[0]))
        assert [link.digest for link in client.list_referrers(repository, digest(subject))] == [put[1]]


# Chunks, and connections that break -----------------------------------------------------------------


def test_chunks_have_the_minimum_size_of_the_registry() -> None:
    registry = Registry(minimum=1 << 20)
    with support.serving(registry) as host, new_client(chunk_size=1000) as client:
        assert client.upload_blob(Repository(host, "a"), descriptor(BIG), BIG) == "sent"
    assert len(registry.logged_paths("PATCH")) == 3


def test_a_blob_that_is_too_large_for_one_request_is_sent_in_chunks() -> None:
    data = bytes(40 << 20)
    registry = Registry(largest=20 << 20)
    with support.serving(registry) as host, new_client() as client:
        assert client.upload_blob(Repository(host, "a"), descriptor(data), data) == "sent"
    assert registry.blobs["a", digest(data)] == data


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("cut_after", [0, 1, 300, 700, 40_000, 1_500_000, 3_072_400, 3_072_900, 3_073_300])
def test_an_upload_survives_a_broken_connection(cut_after: int, resumes: bool) -> None:
    registry = Registry(resumes=resumes)
    with (
        support.serving(registry) as host,
        Wire(host, cut_after) as wire,
        new_client(chunk_size=1 << 20) as client,
    ):
        assert client.upload_blob(Repository(wire.host, "a"), descriptor(BIG), BIG) in ("sent", "present")
    assert registry.blobs["a", digest(BIG)] == BIG


def test_an_upload_resumes_after_a_broken_connection() -> None:
    registry = Registry()
    sent_sizes: list[int] = []
    with support.serving(registry) as host, Wire(host, 2_500_000) as wire, new_client() as client:
        client.upload_blob(Repository(wire.host, "a"), descriptor(BIG), BIG, on_sent=sent_sizes.append)
        assert wire.is_cut
    assert len(registry.logged_paths("POST")) == 1
    assert any(
        "Content-Range" in headers and not headers["Content-Range"].startswith("0-")
        for verb, _, headers in registry.log
        if verb == "PATCH"
    )
    assert wire.count < len(BIG) + 800_000


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cut_after", [0, 1, 200, 350, 100_000, 3_000_000, 3_072_100])
def test_a_download_survives_a_broken_connection(cut_after: int, ranges: bool) -> None:
    registry = Registry(ranges=ranges)
    registry.blobs["a", digest(BIG)] = BIG
    with support.serving(registry) as host, Wire(host, cut_after) as wire, new_client() as client:
        with client.open_blob(Repository(wire.host, "a"), digest(BIG), len(BIG)) as file:
            assert file.read() == BIG
        assert wire.is_cut
    assert any("Range" in headers for _, _, headers in registry.log) == (cut_after > 500)


def test_retries_are_limited() -> None:
    with new_client() as client, pytest.raises(TransportError, match="cannot connect"):
        client.list_tags(Repository("127.0.0.1:1", "a"))


# Wrong content ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [b"x", BIG[:-1] + b"!", BIG + b"x", BIG[1:]])
@pytest.mark.parametrize("size", [len(BIG), None])
def test_a_blob_with_another_digest_is_refused(lie: bytes, size: int | None) -> None:
    registry = Registry(lies=lie)
    registry.blobs["a", digest(BIG)] = BIG
    with (
        support.serving(registry) as host,
        new_client() as client,
        pytest.raises((TrustError, TransportError)),
        client.open_blob(Repository(host, "a"), digest(BIG), size) as file,
    ):
        file.read()


def test_a_manifest_with_another_digest_is_refused() -> None:
    registry = Registry()
    key = digest(b"something else")
    registry.manifests["a", key] = (oci.MANIFEST, manifest())
    registry.tags["a"] = {"t": key}
    with support.serving(registry) as host, new_client() as client:
        for reference in (Repository(host, "a").with_digest(key), Repository(host, "a").with_tag("t")):
            with pytest.raises(TrustError):
                client.get_manifest(reference)


def test_an_upload_is_verified_before_its_last_piece_is_sent() -> None:
    registry = Registry()
    wrong_content = BIG[:-1] + b"!"
    with support.serving(registry) as host, new_client() as client:
        for content in (wrong_content, BIG[:-1], BIG + b"x"):
            with pytest.raises(PumiceError, match="does not match its digest"):
                client.upload_blob(Repository(host, "a"), descriptor(BIG), content)
    assert registry.blobs == {}


def test_a_manifest_is_limited_to_4_mib() -> None:
    registry = Registry()
    exact = manifest(annotations={"a": ""})
    exact = manifest(annotations={"a": "x" * ((4 << 20) - len(exact))})
    registry.put("a", exact, oci.MANIFEST, "most")
    registry.put("a", exact + b" ", oci.MANIFEST, "more")
    with support.serving(registry) as host, new_client() as client:
        assert client.get_manifest(Repository(host, "a").with_tag("most")).data == exact
        with pytest.raises(RegistryError, match="larger than"):
            client.get_manifest(Repository(host, "a").with_tag("more"))


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b"[" * 100_000, b'{"manifests": 5}', b'{"tags": {}}'])
def test_malformed_lists_are_refused(body: bytes) -> None:
    registry = Registry(referrers=False)
    registry.put("a", body, oci.INDEX, fallback_tag(digest(b"")))
    with support.serving(registry) as host, new_client() as client, pytest.raises(FormatError):
        client.list_referrers(Repository(host, "a"), digest(b""))
        raise FormatError("no list at all is an empty one")


# Logging in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [True, False])
def test_a_login_is_only_sent_after_a_challenge(tokens: bool) -> None:
    registry = Registry(users={"me": "secret"}, tokens=tokens)
    with support.serving(registry) as host:
        with new_client(login=(host, Login("me", "secret"))) as client:
            client.upload_blob(Repository(host, "a"), descriptor(BIG), BIG)
            assert client.list_tags(Repository(host, "a")) == []
        assert "Authorization" not in registry.log[0][2]
        unauthorised = [entry for entry in registry.log if "Authorization" not in entry[2]]
        assert len(unauthorised) == 1
        with new_client(login=(host, Login("me", "wrong"))) as client, pytest.raises(DeniedError):
            client.list_tags(Repository(host, "a"))
        with new_client() as client, pytest.raises(DeniedError, match="login"):
            client.list_tags(Repository(host, "a"))


def test_an_expired_token_is_replaced_during_an_upload() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True, token_uses=2)
    with (
        support.serving(registry) as host,
        new_client(login=(host, Login("me", "secret")), chunk_size=400_000) as client,
    ):
        assert client.upload_blob(Repository(host, "a"), descriptor(BIG), BIG) == "sent"
    assert registry.blobs["a", digest(BIG)] == BIG
    assert len(registry.issued) > 3


def test_an_identity_token_is_exchanged_for_an_access_token() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True)
    with (
        support.serving(registry) as host,
        new_client(login=(host, Login(identity_token="identity"))) as client,
    ):
        client.list_tags(Repository(host, "a"))
    assert registry.logged_paths("POST", "/token")


@pytest.mark.concurrency
def test_threads_share_one_token() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True)
    with support.serving(registry) as host, new_client(login=(host, Login("me", "secret"))) as client:
        threads = [threading.Thread(target=client.list_tags, args=(Repository(host, "a"),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(registry.issued) == 1


def test_tokens_have_the_minimal_scope() -> None:
    registry = Registry(users={"me": "secret"}, tokens=True)
    with support.serving(registry) as host, new_client(login=(host, Login("me", "secret"))) as client:
        client.list_tags(Repository(host, "team/a"))
        registry.blobs["b", digest(b"x")] = b"x"
        client.upload_blob(
            Repository(host, "team/a"), descriptor(b"x"), b"x", mount_from=Repository(host, "b")
        )
    first, *_, last = registry.logged_paths("GET", "/token")
    assert "scope=repository%3Ateam%2Fa%3Apull&" in first
    assert "scope=repository%3Ab%3Apull&scope=repository%3Ateam%2Fa%3Apull%2Cpush" in last


def test_a_login_is_not_sent_to_a_redirect_target() -> None:
    other_registry = Registry()
    other_registry.blobs["a", digest(BIG)] = BIG
    registry = Registry(users={"me": "secret"})
    registry.blobs["a", digest(BIG)] = BIG
    with support.serving(other_registry) as other_host, support.serving(registry) as host:
        # Another port is another origin.
        handler = other_registry.blobs
        registry.elsewhere = f"http://{other_host}/v2"
        other_registry.blobs = {**handler}
        with new_client(login=(host, Login("me", "secret"))) as client:
            try:
                with client.open_blob(Repository(host, "a"), digest(BIG), len(BIG)) as file:
                    file.read()
            except PumiceError:
                pass
    assert other_registry.log
    assert all("Authorization" not in headers for _, _, headers in other_registry.log)


def test_a_login_is_not_sent_to_another_machine_without_tls() -> None:
    from pumice.registry.message import Request, Response

    class Recording:
        def __init__(self) -> None:
            self.asked: list[Request] = []

        def send(self, request: Request) -> Response:
            self.asked.append(request)
            return Response(401, (("WWW-Authenticate", "Basic realm=x"),))

        def close(self) -> None:
            pass

    for is_http, expected in ((True, 1), (False, 2)):
        transport = Recording()
        login = StaticCredentials("registry.example", Login("me", "secret"))
        with (
            Client(login, ClientSettings(plain_http=is_http), transport=transport) as client,
            pytest.raises(DeniedError),
        ):
            client.list_tags(Repository("registry.example", "a"))
        assert len(transport.asked) == expected
        assert any(name == "Authorization" for one_ in transport.asked for name, _ in one_.headers) == (
            not is_http
        )


# Limits and warnings ----------------------------------------------------------------------------


def test_retry_after_is_honored() -> None:
    notes = Notes()
    registry = Registry(busy=2, retry_after="7")
    with support.serving(registry) as host, new_client(notes) as client:
        assert client.list_tags(Repository(host, "a")) == []
    assert notes.pauses == [7.0, 7.0]
    registry = Registry(busy=1, retry_after="86400")
    with (
        support.serving(registry) as host,
        new_client(notes) as client,
        pytest.raises(RegistryError, match="86400 seconds"),
    ):
        client.list_tags(Repository(host, "a"))
    registry = Registry(busy=99, retry_after="never")
    with (
        support.serving(registry) as host,
        new_client(notes) as client,
        pytest.raises(RegistryError, match="too many requests to"),
    ):
        client.list_tags(Repository(host, "a"))


def test_a_warning_is_reported_once() -> None:
    notes = Notes()
    with support.serving(Registry(warning='299 - "moving soon"')) as host, new_client(notes) as client:
        for _ in range(3):
            client.list_tags(Repository(host, "a"))
    assert notes.warnings == [f"warning from {host}: moving soon"]


def test_tags_are_listed_over_all_pages() -> None:
    registry = Registry(page=2)
    registry.tags["a"] = {f"t{number}": "x" for number in range(7)}
    with support.serving(registry) as host, new_client() as client:
        assert client.list_tags(Repository(host, "a")) == [f"t{number}" for number in range(7)]
        assert client.list_tags(Repository(host, "a"), page_size=1) == [f"t{number}" for number in range(7)]


@pytest.mark.concurrency
def test_concurrent_updates_of_a_fallback_index_lose_nothing() -> None:
    registry = Registry(referrers=False, etags=True)
    subject = digest(b"subject")
    with support.serving(registry) as host, new_client() as client:
        repository = Repository(host, "a")
        entries = []
        for number in range(8):
            data = manifest(number=number, layers=[])
            registry.blobs["a", digest(b"{}")] = b"{}"
            registry.put("a", data, oci.MANIFEST)
            entries.append({"mediaType": oci.MANIFEST, "digest": digest(data), "size": len(data)})
        threads = [
            threading.Thread(target=client.add_fallback_referrers, args=(repository, subject, [entry]))
            for entry in entries
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        digests = {link.digest for link in client.list_referrers(repository, subject)}
    assert digests == {entry["digest"] for entry in entries}
