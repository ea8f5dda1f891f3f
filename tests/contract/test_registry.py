"""The requirements of distribution-spec 1.1 and its main branch for registries, tested over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.support.serving import INDEX, MANIFEST, Registry, descriptor, digest_of, image, serving

OCTETS = {"Content-Type": "application/octet-stream"}
ABSENT = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry") / "root") as server:
        yield server


def begin(registry: Registry, repository: str, **query: Any) -> str:
    response = registry.ask("POST", f"/v2/{repository}/blobs/uploads/", **query)
    assert response.status == 202
    assert response.headers["Range"] == "0-0"
    return str(response.headers["Location"])


def index(*documents: bytes, **fields: object) -> bytes:
    entries = [descriptor(document, MANIFEST) for document in documents]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, **fields}
    return json.dumps(document).encode()


def test_the_base_endpoint_identifies_a_registry(registry: Registry) -> None:
    for path in ("/v2/", "/v2"):
        response = registry.ask("GET", path)
        assert (response.status, response.json) == (200, {})
    assert registry.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_pulled_blob_equals_the_pushed_blob(registry: Registry, algorithm: str) -> None:
    data = b"monolithic" * 1000
    digest = registry.push_blob("blobs/whole", data, algorithm)
    path = f"/v2/blobs/whole/blobs/{digest}"
    get_response, head_response = registry.ask("GET", path), registry.ask("HEAD", path)
    assert (get_response.status, get_response.body, head_response.status, head_response.body) == (
        200,
        data,
        200,
        b"",
    )
    for response in (get_response, head_response):
        assert response.headers["Content-Length"] == str(len(data))
        assert response.headers["Docker-Content-Digest"] == digest
        assert response.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 100_000], ids=["empty", "two", "large"])
def test_a_blob_can_be_pushed_with_a_single_post(registry: Registry, algorithm: str, data: bytes) -> None:
    digest = digest_of(data, algorithm)
    response = registry.ask("POST", "/v2/blobs/single/blobs/uploads/", data, OCTETS, digest=digest)
    assert response.status == 201
    assert response.headers["Docker-Content-Digest"] == digest
    assert registry.ask("GET", response.headers["Location"]).body == data


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("with_algorithm", [True, False])
def test_chunks_are_accepted_in_order_only(registry: Registry, algorithm: str, with_algorithm: bool) -> None:
    data = bytes(range(256)) * 12
    location = begin(registry, "blobs/pieces", **({"digest-algorithm": algorithm} if with_algorithm else {}))
    early = registry.ask("PATCH", location, data[1000:2000], {"Content-Range": "1000-1999"})
    assert early.status == 416
    assert early.headers["Location"] == location
    for start in (0, 1000):
        chunk = data[start : start + 1000]
        response = registry.ask("PATCH", location, chunk, {"Content-Range": f"{start}-{start + 999}"})
        assert (response.status, response.headers["Range"]) == (202, f"0-{start + 999}")
        location = response.headers["Location"]
    repeated_chunk = registry.ask("PATCH", location, data[:1000], {"Content-Range": "0-999"})
    assert (repeated_chunk.status, repeated_chunk.headers["Range"]) == (416, "0-1999")
    status = registry.ask("GET", location)
    assert (status.status, status.headers["Range"], status.body) == (204, "0-1999", b"")
    digest = digest_of(data, algorithm)
    wrong_range = registry.ask("PUT", location, data[:10], {"Content-Range": "0-9"}, digest=digest)
    assert wrong_range.status == 416
    last = {"Content-Range": f"2000-{len(data) - 1}"}
    response = registry.ask("PUT", location, data[2000:], last, digest=digest)
    assert (response.status, response.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.ask("GET", response.headers["Location"]).body == data


def test_a_streamed_upload_needs_neither_length_nor_range(registry: Registry) -> None:
    data = b"stream" * 50_000
    location = begin(registry, "blobs/stream")
    response = registry.ask("PATCH", location, data, OCTETS, chunked=True)
    assert (response.status, response.headers["Range"]) == (202, f"0-{len(data) - 1}")
    response = registry.ask("PUT", location, digest=digest_of(data))
    assert registry.ask("GET", response.headers["Location"]).body == data


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "five-six"},
        {"Content-Range": "9-3"},
        {"Content-Range": "0-"},
        {"Content-Range": "bytes 0-0"},
        {"Content-Range": "0-0/1"},
    ],
    ids=["words", "backwards", "open", "unit", "whole"],
)
def test_a_malformed_content_range_is_rejected_with_416(registry: Registry, headers: dict[str, str]) -> None:
    assert registry.ask("PATCH", begin(registry, "blobs/malformed"), b"x", headers).status == 416


def test_a_content_range_must_match_the_content_length(registry: Registry) -> None:
    location = begin(registry, "blobs/unfit")
    response = registry.ask("PATCH", location, b"12345", {"Content-Range": "0-9"})
    assert (response.status, response.code) == (400, "SIZE_INVALID")
    assert registry.ask("GET", location).headers["Range"] == "0-0"


def test_a_canceled_upload_is_unknown(registry: Registry) -> None:
    location = begin(registry, "blobs/cancelled")
    assert registry.ask("DELETE", location).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        response = registry.ask(method, location, b"x" if method == "PATCH" else None)
        assert response.status == 404
    assert registry.ask("PUT", location, b"x", digest=digest_of(b"x")).code == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_belongs_to_its_repository(registry: Registry) -> None:
    location = begin(registry, "blobs/mine")
    assert registry.ask("GET", location.replace("blobs/mine", "blobs/other")).status == 404


@pytest.mark.parametrize("digest", ["", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "A" * 64, "../../etc"])
def test_an_upload_cannot_be_finished_without_a_valid_digest(registry: Registry, digest: str) -> None:
    response = registry.ask("PUT", begin(registry, "blobs/undigested"), b"x", digest=digest)
    assert (response.status, response.code) == (400, "DIGEST_INVALID")


def test_content_with_another_digest_is_rejected(registry: Registry) -> None:
    for query in ({}, {"digest-algorithm": "sha512"}):
        response = registry.ask("PUT", begin(registry, "blobs/lies", **query), b"x", digest=ABSENT)
        assert (response.status, response.code) == (400, "DIGEST_INVALID")
    response = registry.ask("POST", "/v2/blobs/lies/blobs/uploads/", b"x", digest=ABSENT)
    assert (response.status, response.code) == (400, "DIGEST_INVALID")
    assert registry.ask("HEAD", f"/v2/blobs/lies/blobs/{ABSENT}").status == 404


def test_an_unknown_digest_algorithm_is_rejected(registry: Registry) -> None:
    response = registry.ask("POST", "/v2/blobs/algorithm/blobs/uploads/?digest-algorithm=md5")
    assert (response.status, response.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("source", ["blobs/from", None], ids=["named", "anywhere"])
def test_a_blob_can_be_mounted_from_another_repository(registry: Registry, source: str | None) -> None:
    digest = registry.push_blob("blobs/from", f"mounted {source}".encode())
    query: dict[str, Any] = {"mount": digest} | ({"from": source} if source else {})
    response = registry.ask("POST", "/v2/blobs/to/blobs/uploads/", **query)
    assert (response.status, response.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.ask("GET", response.headers["Location"]).status == 200
    assert registry.ask("DELETE", f"/v2/blobs/from/blobs/{digest}").status == 202
    assert registry.ask("GET", f"/v2/blobs/to/blobs/{digest}").status == 200


@pytest.mark.parametrize(
    "query",
    [
        {"mount": ABSENT, "from": "blobs/from"},
        {"mount": ABSENT},
        {"mount": "nonsense", "from": "blobs/from"},
        {"mount": ABSENT, "from": "../../etc"},
    ],
)
def test_a_mount_that_is_not_possible_becomes_an_upload(registry: Registry, query: dict[str, Any]) -> None:
    response = registry.ask("POST", "/v2/blobs/to/blobs/uploads/", **query)
    assert response.status == 202
    assert registry.ask("PUT", response.headers["Location"], b"x", digest=digest_of(b"x")).status == 201


def test_a_mount_uses_the_named_repository_only(registry: Registry) -> None:
    digest = registry.push_blob("blobs/elsewhere", b"only there")
    query: dict[str, Any] = {"mount": digest, "from": "blobs/nobody"}
    response = registry.ask("POST", "/v2/blobs/to/blobs/uploads/", **query)
    assert response.status == 202


@pytest.mark.parametrize(
    ("byte_range", "start", "end"),
    [
        ("bytes=500-1499", 500, 1500),
        ("bytes=500-", 500, 2048),
        ("bytes=-500", 1548, 2048),
        ("bytes=-5000", 0, 2048),
        ("bytes=2000-5000", 2000, 2048),
        ("bytes=0-0", 0, 1),
    ],
)
@pytest.mark.parametrize("size", [2048, 200_000], ids=["small", "large"])
def test_a_range_returns_a_part_of_the_blob(
    registry: Registry, byte_range: str, start: int, end: int, size: int
) -> None:
    data = bytes(range(256)) * (size // 256)
    data += b"." * (size - len(data))
    if end == 2048 and not byte_range.endswith("5000"):
        end = size
        start = size - 500 if byte_range == "bytes=-500" else start
    elif byte_range == "bytes=-5000":
        start, end = max(0, size - 5000), size
    elif byte_range == "bytes=2000-5000":
        end = min(5001, size)
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', data)}"
    response = registry.ask("GET", path, headers={"Range": byte_range})
    assert (response.status, response.body) == (206, data[start:end])
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    assert response.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("byte_range", ["bytes=500-0", "bytes=2048-", "bytes=5000-10000", "bytes=-0"])
def test_a_range_outside_of_the_blob_is_rejected_with_416(registry: Registry, byte_range: str) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    response = registry.ask("GET", path, headers={"Range": byte_range})
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */2048")


@pytest.mark.parametrize(
    "byte_range", ["bytes=0-1,5-6", "lines=1-2", "bytes=x-y", "bytes=-", "bytes=" + "9" * 50 + "-"]
)
def test_an_unsupported_range_is_ignored(registry: Registry, byte_range: str) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    response = registry.ask("GET", path, headers={"Range": byte_range})
    assert (response.status, len(response.body)) == (200, 2048)


def test_head_ignores_ranges(registry: Registry) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    head = registry.ask("HEAD", path, headers={"Range": "bytes=0-1"})
    assert (head.status, head.headers["Content-Length"]) == (200, "2048")


def test_unchanged_content_is_not_sent_again(registry: Registry) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    tag = registry.ask("GET", path).headers["ETag"]
    assert registry.ask("GET", path, headers={"If-None-Match": tag}).status == 304
    range_headers = {"Range": "bytes=0-1", "If-Range": tag}
    assert registry.ask("GET", path, headers=range_headers).status == 206
    assert registry.ask("GET", path, headers=range_headers | {"If-Range": '"other"'}).status == 200


def test_a_manifest_is_stored_byte_for_byte(registry: Registry) -> None:
    document = image(b"layer", annotations={"ä": "ö"}, custom={"kept": [1.50, None]}) + b"\n\n  "
    registry.push_blob("manifests/bytes", b"{}")
    registry.push_blob("manifests/bytes", b"layer")
    put_response = registry.put("manifests/bytes", "v1", document)
    digest = digest_of(document)
    assert (put_response.status, put_response.headers["Docker-Content-Digest"]) == (201, digest)
    for location in (put_response.headers["Location"], "/v2/manifests/bytes/manifests/v1"):
        get_response, head_response = registry.ask("GET", location), registry.ask("HEAD", location)
        assert get_response.body == document
        for response in (get_response, head_response):
            assert response.headers["Content-Type"] == MANIFEST
            assert response.headers["Docker-Content-Digest"] == digest
            assert response.headers["Content-Length"] == str(len(document))


def test_a_manifest_is_sent_whatever_the_accept_header(registry: Registry) -> None:
    registry.push_image("manifests/accept", "v1")
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v1+json"}
    assert registry.ask("GET", "/v2/manifests/accept/manifests/v1", headers=accept).status == 200


def test_moving_a_tag_keeps_the_old_manifest(registry: Registry) -> None:
    old_digest, _ = registry.push_image("manifests/moves", "latest", b"one")
    assert (
        registry.ask("GET", "/v2/manifests/moves/manifests/latest").headers["Docker-Content-Digest"]
        == old_digest
    )
    new_digest, _ = registry.push_image("manifests/moves", "latest", b"two")
    assert (
        registry.ask("GET", "/v2/manifests/moves/manifests/latest").headers["Docker-Content-Digest"]
        == new_digest
    )
    assert registry.ask("GET", f"/v2/manifests/moves/manifests/{old_digest}").status == 200


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_put_by_digest_sets_tags(registry: Registry, algorithm: str) -> None:
    registry.push_blob("manifests/tagged", b"{}", algorithm)
    registry.push_blob("manifests/tagged", b"layer", algorithm)
    document = image(b"layer", algorithm)
    digest = digest_of(document, algorithm)
    tags = [f"{algorithm}-{number}" for number in range(12)]
    response = registry.put("manifests/tagged", digest, document, tag=tags)
    assert response.status == 201
    assert response.headers.get_all("OCI-Tag") == tags
    for tag in tags:
        head = registry.ask("HEAD", f"/v2/manifests/tagged/manifests/{tag}")
        assert head.headers["Docker-Content-Digest"] == digest


def test_tags_of_a_put_are_checked_before_anything_is_stored(registry: Registry) -> None:
    document = index()
    digest = digest_of(document)
    response = registry.put("manifests/badtags", digest, document, INDEX, tag=["good", "-bad"])
    assert (response.status, response.code) == (400, "MANIFEST_INVALID")
    tags = [f"t{number}" for number in range(101)]
    assert registry.put("manifests/badtags", digest, document, INDEX, tag=tags).status == 414
    assert registry.put("manifests/badtags", "v1", document, INDEX, tag="v2").status == 400
    assert registry.ask("GET", f"/v2/manifests/badtags/manifests/{digest}").status == 404


def test_a_manifest_must_match_the_digest_in_the_url(registry: Registry) -> None:
    response = registry.put("manifests/lies", ABSENT, index(), INDEX)
    assert (response.status, response.code) == (400, "DIGEST_INVALID")
    for wrong_digest in ("sha256:baddigeststring", "md5:" + "0" * 32):
        assert registry.put("manifests/lies", wrong_digest, index(), INDEX).code == "DIGEST_INVALID"
        assert registry.ask("GET", f"/v2/manifests/lies/manifests/{wrong_digest}").status == 400


def test_a_manifest_can_have_four_mebibytes_but_not_more(registry: Registry) -> None:
    frame = index(annotations={"pad": ""})
    for extra, status in ((0, 201), (1, 413)):
        document = index(annotations={"pad": "x" * ((4 << 20) - len(frame) + extra)})
        assert len(document) == (4 << 20) + extra
        for chunked in (False, True):
            response = registry.ask(
                "PUT",
                "/v2/manifests/large/manifests/v1",
                document,
                {"Content-Type": INDEX},
                chunked=chunked,
            )
            assert response.status == status


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (b"", MANIFEST),
        (b"no json", MANIFEST),
        (b"[]", MANIFEST),
        (b'{"schemaVersion": 1}', MANIFEST),
        (b'{"schemaVersion": 2, "schemaVersion": 2}', MANIFEST),
        (b'{"schemaVersion": 2, "layers": {}}', MANIFEST),
        (b'{"schemaVersion": 2, "layers": [1]}', MANIFEST),
        (b'{"schemaVersion": 2, "config": {"digest": "sha256:../../x", "size": 1}}', MANIFEST),
        (b'{"schemaVersion": 2, "config": {"digest": "sha256:%s", "size": -1}}' % (b"0" * 64), MANIFEST),
        (b'{"schemaVersion": 2, "subject": "x"}', MANIFEST),
        (b'{"schemaVersion": 2, "subject": {"digest": "x", "size": 1}}', MANIFEST),
        (b'{"schemaVersion": 2, "a": NaN}', MANIFEST),
        (b"[" * 100_000, MANIFEST),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, MANIFEST),
        (b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % INDEX.encode(), MANIFEST),
        (b"\xff\xfe", MANIFEST),
        (b'{"schemaVersion": 2}', "not a media type"),
    ],
)
def test_an_invalid_manifest_is_rejected(registry: Registry, document: bytes, media_type: str) -> None:
    response = registry.put("manifests/invalid", "v1", document, media_type)
    assert (response.status, response.code) == (400, "MANIFEST_INVALID")
    assert registry.ask("GET", "/v2/manifests/invalid/manifests/v1").status == 404


def test_a_manifest_of_unknown_media_type_is_accepted(registry: Registry) -> None:
    document, kind = b'{"anything": "goes"}', "application/vnd.example.thing.v3+json"
    assert registry.put("manifests/unknown", "v1", document, kind).status == 201
    response = registry.ask("GET", "/v2/manifests/unknown/manifests/v1")
    assert (response.headers["Content-Type"], response.body) == (kind, document)


def test_a_manifest_is_rejected_without_its_blobs(registry: Registry) -> None:
    response = registry.put("manifests/missing", "v1", image())
    assert (response.status, response.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    missing_digests = {error["detail"]["digest"] for error in response.json["errors"]}
    assert missing_digests == {digest_of(b"{}"), digest_of(b"layer")}
    response = registry.put("manifests/missing", "v1", index(image()), INDEX)
    assert (response.status, response.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert registry.ask("GET", "/v2/manifests/missing/tags/list").status == 404


def test_a_manifest_with_a_wrong_size_is_rejected(registry: Registry) -> None:
    for data in (b"{}", b"layer"):
        registry.push_blob("manifests/sizes", data)
    document = json.loads(image())
    document["layers"][0]["size"] = 4
    response = registry.put("manifests/sizes", "v1", json.dumps(document).encode())
    assert (response.status, response.code) == (400, "SIZE_INVALID")


def test_layers_that_are_not_distributed_may_be_missing(registry: Registry) -> None:
    registry.push_blob("manifests/foreign", b"{}")
    for kind in (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ):
        document = image(layers=[descriptor(b"elsewhere", kind, urls=["https://example.com/layer"])])
        assert registry.put("manifests/foreign", "v1", document).status == 201


def test_indexes_may_be_empty_and_nested(registry: Registry) -> None:
    empty = index()
    assert registry.put("manifests/nested", "empty", empty, INDEX).status == 201
    _, manifest = registry.push_image("manifests/nested", "one")
    inner_index = index(manifest)
    assert registry.put("manifests/nested", "inner", inner_index, INDEX).status == 201
    assert registry.put("manifests/nested", "outer", index(inner_index, empty), INDEX).status == 201


def test_a_conditional_put_does_not_overwrite_an_update(registry: Registry) -> None:
    path = "/v2/manifests/conditional/manifests/list"
    headers = {"Content-Type": INDEX}
    first, second = index(annotations={"n": "1"}), index(annotations={"n": "2"})
    assert registry.ask("PUT", path, first, headers | {"If-Match": '"x"'}).status == 412
    assert registry.ask("PUT", path, first, headers | {"If-None-Match": "*"}).status == 201
    assert registry.ask("PUT", path, second, headers | {"If-None-Match": "*"}).status == 412
    tag = registry.ask("GET", path).headers["ETag"]
    assert registry.ask("PUT", path, second, headers | {"If-Match": tag}).status == 201
    assert registry.ask("PUT", path, first, headers | {"If-Match": tag}).status == 412
    assert registry.ask("GET", path).body == second


def test_tags_are_listed_in_ascii_order_page_by_page(registry: Registry) -> None:
    names = ["b", "B", "a.1", "a", "_x", "1", "a-1", "Z", "z" * 128]
    document = index()
    for name in names:
        assert registry.put("tags/paged", name, document, INDEX).status == 201
    path = "/v2/tags/paged/tags/list"
    assert registry.ask("GET", path).json == {"name": "tags/paged", "tags": sorted(names)}
    tags: list[str] = []
    following: str | None = path + "?n=2"
    while following:
        response = registry.ask("GET", following)
        assert len(response.json["tags"]) <= 2
        tags += response.json["tags"]
        link = response.headers["Link"]
        following = urljoin(path, link.partition(">")[0][1:]) if link else None
        assert link is None or link.endswith('; rel="next"')
    assert tags == sorted(names)
    assert registry.ask("GET", path, n=0).json["tags"] == []
    assert registry.ask("GET", path, last="Z").json["tags"] == [tag for tag in sorted(names) if tag > "Z"]
    assert registry.ask("GET", path, last="a").json["tags"] == [tag for tag in sorted(names) if tag > "a"]
    assert registry.ask("GET", path, n=2, last="aa").json["tags"] == ["b", "z" * 128]
    for odd in ("-1", "x", "1e3", "9" * 40, ""):
        assert registry.ask("GET", path, n=odd).status == 400


def test_repositories_are_listed(registry: Registry) -> None:
    registry.push_image("catalog/one", "v1")
    entries = registry.ask("GET", "/v2/_catalog").json["repositories"]
    assert "catalog/one" in entries
    assert entries == sorted(entries)
    assert registry.ask("GET", "/v2/_catalog", n=1).headers["Link"]


def test_referrers_are_listed_with_their_types_and_annotations(registry: Registry) -> None:
    subject = descriptor(b"not here yet", MANIFEST)
    path = f"/v2/referrers/one/referrers/{subject['digest']}"
    empty = registry.ask("GET", path)
    assert (empty.status, empty.headers["Content-Type"]) == (200, INDEX)
    assert empty.json == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    registry.push_image("referrers/one", "plain")
    goal = []
    for fields, kind in (
        ({}, "application/vnd.oci.image.config.v1+json"),
        ({"artifactType": "application/vnd.example.sbom"}, "application/vnd.example.sbom"),
        (
            {"artifactType": "application/vnd.example.a+b", "annotations": {"k": "v"}},
            "application/vnd.example.a+b",
        ),
    ):
        document = image(subject=subject, **fields)
        response = registry.put("referrers/one", digest_of(document), document)
        assert (response.status, response.headers["OCI-Subject"]) == (201, subject["digest"])
        entry = descriptor(document, MANIFEST, artifactType=kind)
        goal.append(entry | ({"annotations": fields["annotations"]} if "annotations" in fields else {}))
    pointing = index(subject=subject, artifactType="application/vnd.example.sbom")
    response = registry.put("referrers/one", "pointing", pointing, INDEX)
    assert response.headers["OCI-Subject"] == subject["digest"]
    goal.append(descriptor(pointing, INDEX, artifactType="application/vnd.example.sbom"))
    entries = registry.ask("GET", path)
    by_digest = sorted(goal, key=lambda entry: str(entry["digest"]))
    assert entries.json["manifests"] == by_digest
    assert entries.headers["OCI-Filters-Applied"] is None
    for kind in {str(entry["artifactType"]) for entry in goal}:
        filtered = registry.ask("GET", path, artifactType=kind)
        assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
        assert filtered.json["manifests"] == [entry for entry in by_digest if entry["artifactType"] == kind]
    first = registry.ask("GET", path, n=3)
    rest_response = registry.ask("GET", first.headers["Link"].partition(">")[0][1:])
    assert first.json["manifests"] + rest_response.json["manifests"] == by_digest
    assert rest_response.headers["Link"] is None
    assert registry.ask("DELETE", f"/v2/referrers/one/manifests/{goal[0]['digest']}").status == 202
    assert goal[0] not in registry.ask("GET", path).json["manifests"]


def test_many_referrers_are_listed_in_pages_of_four_mebibytes(registry: Registry) -> None:
    subject = descriptor(b"popular", MANIFEST)
    path: str | None = f"/v2/referrers/many/referrers/{subject['digest']}"
    for number in range(9):
        document = index(subject=subject, annotations={"large": "x" * 999_999, "n": str(number)})
        assert registry.put("referrers/many", digest_of(document), document, INDEX).status == 201
    tags = []
    while path:
        response = registry.ask("GET", path)
        assert len(response.body) <= 4 << 20
        tags += [entry["annotations"]["n"] for entry in response.json["manifests"]]
        link = response.headers["Link"]
        path = link.partition(">")[0][1:] if link else None
    assert sorted(tags) == [str(number) for number in range(9)]


def test_referrers_need_a_digest(registry: Registry) -> None:
    for reference in ("sha256:x", "latest", "md5:" + "0" * 32):
        response = registry.ask("GET", f"/v2/referrers/one/referrers/{reference}")
        assert (response.status, response.code) == (400, "DIGEST_INVALID")


def test_deleting_a_tag_keeps_the_manifest(registry: Registry) -> None:
    digest, _ = registry.push_image("deletes/tag", "v1")
    path = "/v2/deletes/tag/manifests/"
    assert registry.ask("GET", path + "v1").status == 200
    assert registry.ask("DELETE", path + "v1").status == 202
    assert registry.ask("HEAD", path + "v1").status == 404
    assert registry.ask("HEAD", path + digest).status == 200
    assert registry.ask("DELETE", path + "v1").code == "MANIFEST_UNKNOWN"


def test_deleting_a_manifest_deletes_its_tags(registry: Registry) -> None:
    digest, _ = registry.push_image("deletes/manifest", "v1")
    path = "/v2/deletes/manifest/manifests/"
    assert registry.ask("GET", path + "v1").status == 200
    assert registry.ask("DELETE", path + digest).status == 202
    for reference in ("v1", digest):
        assert registry.ask("GET", path + reference).code == "MANIFEST_UNKNOWN"
    assert registry.ask("GET", "/v2/deletes/manifest/tags/list").json["tags"] == []


def test_a_deleted_blob_is_not_served_from_the_cache(registry: Registry) -> None:
    path = f"/v2/deletes/blob/blobs/{registry.push_blob('deletes/blob', b'gone soon')}"
    assert registry.ask("GET", path).status == 200
    assert registry.ask("DELETE", path).status == 202
    assert registry.ask("GET", path).code == "BLOB_UNKNOWN"
    assert registry.ask("DELETE", path).status == 404


@pytest.mark.parametrize(
    "name",
    ["UPPER", "a//b", "-a", "a-", "a..b", "a/../b", ".", "..", "a b", "a%00b", "_x", "é", "x" * 256],
)
def test_repository_names_must_match_the_grammar(registry: Registry, name: str) -> None:
    for path in (f"/v2/{name}/tags/list", f"/v2/{name}/manifests/v1", f"/v2/{name}/blobs/{ABSENT}"):
        response = registry.ask("GET", path.replace(" ", "%20").replace("é", "%C3%A9"))
        assert (response.status, response.code) == (404, "NAME_INVALID")
    assert registry.ask("GET", "/v2/a__b/c.d-e---f/tags/list").code == "NAME_UNKNOWN"


@pytest.mark.parametrize(
    ("method", "path", "allowed_methods"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", "/v2/x/tags/list", "GET, HEAD"),
        ("PATCH", "/v2/x/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("PUT", f"/v2/x/blobs/{ABSENT}", "DELETE, GET, HEAD"),
        ("GET", "/v2/x/blobs/uploads/", "POST"),
        ("DELETE", f"/v2/x/referrers/{ABSENT}", "GET, HEAD"),
        ("OPTIONS", "/v2/x/manifests/v1", "DELETE, GET, HEAD, PUT"),
        ("TRACE", "/v2/", "GET, HEAD"),
    ],
)
def test_an_unsupported_method_gets_405_with_the_allowed_ones(
    registry: Registry, method: str, path: str, allowed_methods: str
) -> None:
    response = registry.ask(method, path)
    assert (response.status, response.code, response.headers["Allow"]) == (
        405,
        "UNSUPPORTED",
        allowed_methods,
    )


def test_an_unknown_path_gets_404(registry: Registry) -> None:
    for path in ("/", "/v1/", "/v2/x", "/v2/x/y/z", "/v2/manifests/v1", "/etc/passwd", "/v2//"):
        response = registry.ask("GET", path)
        assert (response.status, response.headers["Content-Type"]) == (404, "application/json")


def test_a_repository_can_have_the_name_of_an_endpoint(registry: Registry) -> None:
    for name in ("manifests", "blobs/uploads", "x/tags/list", "a/referrers/b"):
        digest, document = registry.push_image(name, "tags")
        assert registry.ask("GET", f"/v2/{name}/manifests/{digest}").body == document
        assert registry.ask("GET", f"/v2/{name}/tags/list").json["tags"] == ["tags"]
