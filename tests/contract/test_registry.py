"""What distribution-spec 1.1 and its main branch ask of a registry, from the text, over real HTTP."""

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
    with serving(tmp_path_factory.mktemp("registry") / "root") as one:
        yield one


def begin(registry: Registry, repository: str, **query: Any) -> str:
    begun = registry.ask("POST", f"/v2/{repository}/blobs/uploads/", **query)
    assert begun.status == 202
    assert begun.headers["Range"] == "0-0"
    return str(begun.headers["Location"])


def index(*documents: bytes, **more: object) -> bytes:
    listed = [descriptor(document, MANIFEST) for document in documents]
    made = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed, **more}
    return json.dumps(made).encode()


def test_the_base_says_that_this_is_a_registry(registry: Registry) -> None:
    for path in ("/v2/", "/v2"):
        answer = registry.ask("GET", path)
        assert (answer.status, answer.json) == (200, {})
    assert registry.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_comes_back_as_it_went(registry: Registry, algorithm: str) -> None:
    data = b"monolithic" * 1000
    digest = registry.push_blob("blobs/whole", data, algorithm)
    path = f"/v2/blobs/whole/blobs/{digest}"
    got, head = registry.ask("GET", path), registry.ask("HEAD", path)
    assert (got.status, got.body, head.status, head.body) == (200, data, 200, b"")
    for answer in (got, head):
        assert answer.headers["Content-Length"] == str(len(data))
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 100_000], ids=["empty", "two", "large"])
def test_one_post_is_enough(registry: Registry, algorithm: str, data: bytes) -> None:
    digest = digest_of(data, algorithm)
    done = registry.ask("POST", "/v2/blobs/single/blobs/uploads/", data, OCTETS, digest=digest)
    assert done.status == 201
    assert done.headers["Docker-Content-Digest"] == digest
    assert registry.ask("GET", done.headers["Location"]).body == data


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("named", [True, False])
def test_pieces_come_in_order_or_not_at_all(registry: Registry, algorithm: str, named: bool) -> None:
    data = bytes(range(256)) * 12
    place = begin(registry, "blobs/pieces", **({"digest-algorithm": algorithm} if named else {}))
    early = registry.ask("PATCH", place, data[1000:2000], {"Content-Range": "1000-1999"})
    assert early.status == 416
    assert early.headers["Location"] == place
    for start in (0, 1000):
        piece = data[start : start + 1000]
        done = registry.ask("PATCH", place, piece, {"Content-Range": f"{start}-{start + 999}"})
        assert (done.status, done.headers["Range"]) == (202, f"0-{start + 999}")
        place = done.headers["Location"]
    again = registry.ask("PATCH", place, data[:1000], {"Content-Range": "0-999"})
    assert (again.status, again.headers["Range"]) == (416, "0-1999")
    status = registry.ask("GET", place)
    assert (status.status, status.headers["Range"], status.body) == (204, "0-1999", b"")
    digest = digest_of(data, algorithm)
    wrong = registry.ask("PUT", place, data[:10], {"Content-Range": "0-9"}, digest=digest)
    assert wrong.status == 416
    last = {"Content-Range": f"2000-{len(data) - 1}"}
    done = registry.ask("PUT", place, data[2000:], last, digest=digest)
    assert (done.status, done.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.ask("GET", done.headers["Location"]).body == data


def test_a_stream_needs_neither_length_nor_range(registry: Registry) -> None:
    data = b"stream" * 50_000
    place = begin(registry, "blobs/stream")
    done = registry.ask("PATCH", place, data, OCTETS, chunked=True)
    assert (done.status, done.headers["Range"]) == (202, f"0-{len(data) - 1}")
    done = registry.ask("PUT", place, digest=digest_of(data))
    assert registry.ask("GET", done.headers["Location"]).body == data


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
def test_a_malformed_content_range_is_416(registry: Registry, headers: dict[str, str]) -> None:
    assert registry.ask("PATCH", begin(registry, "blobs/malformed"), b"x", headers).status == 416


def test_a_range_that_does_not_fit_the_length_is_refused(registry: Registry) -> None:
    place = begin(registry, "blobs/unfit")
    answer = registry.ask("PATCH", place, b"12345", {"Content-Range": "0-9"})
    assert (answer.status, answer.code) == (400, "SIZE_INVALID")
    assert registry.ask("GET", place).headers["Range"] == "0-0"


def test_a_cancelled_upload_is_gone(registry: Registry) -> None:
    place = begin(registry, "blobs/cancelled")
    assert registry.ask("DELETE", place).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        answer = registry.ask(method, place, b"x" if method == "PATCH" else None)
        assert answer.status == 404
    assert registry.ask("PUT", place, b"x", digest=digest_of(b"x")).code == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_belongs_to_its_repository(registry: Registry) -> None:
    place = begin(registry, "blobs/mine")
    assert registry.ask("GET", place.replace("blobs/mine", "blobs/other")).status == 404


@pytest.mark.parametrize("digest", ["", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "A" * 64, "../../etc"])
def test_an_upload_ends_with_a_digest(registry: Registry, digest: str) -> None:
    answer = registry.ask("PUT", begin(registry, "blobs/undigested"), b"x", digest=digest)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_other_content_than_promised_is_refused(registry: Registry) -> None:
    for query in ({}, {"digest-algorithm": "sha512"}):
        answer = registry.ask("PUT", begin(registry, "blobs/lies", **query), b"x", digest=ABSENT)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    answer = registry.ask("POST", "/v2/blobs/lies/blobs/uploads/", b"x", digest=ABSENT)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert registry.ask("HEAD", f"/v2/blobs/lies/blobs/{ABSENT}").status == 404


def test_an_unknown_algorithm_is_refused(registry: Registry) -> None:
    answer = registry.ask("POST", "/v2/blobs/algorithm/blobs/uploads/?digest-algorithm=md5")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("source", ["blobs/from", None], ids=["named", "anywhere"])
def test_a_blob_is_mounted(registry: Registry, source: str | None) -> None:
    digest = registry.push_blob("blobs/from", f"mounted {source}".encode())
    query: dict[str, Any] = {"mount": digest} | ({"from": source} if source else {})
    done = registry.ask("POST", "/v2/blobs/to/blobs/uploads/", **query)
    assert (done.status, done.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.ask("GET", done.headers["Location"]).status == 200
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
def test_what_cannot_be_mounted_is_uploaded(registry: Registry, query: dict[str, Any]) -> None:
    begun = registry.ask("POST", "/v2/blobs/to/blobs/uploads/", **query)
    assert begun.status == 202
    assert registry.ask("PUT", begun.headers["Location"], b"x", digest=digest_of(b"x")).status == 201


def test_a_mount_is_from_the_repository_that_is_named(registry: Registry) -> None:
    digest = registry.push_blob("blobs/elsewhere", b"only there")
    query: dict[str, Any] = {"mount": digest, "from": "blobs/nobody"}
    begun = registry.ask("POST", "/v2/blobs/to/blobs/uploads/", **query)
    assert begun.status == 202


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
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
def test_a_range_is_a_part(registry: Registry, wanted: str, start: int, end: int, size: int) -> None:
    data = bytes(range(256)) * (size // 256)
    data += b"." * (size - len(data))
    if end == 2048 and not wanted.endswith("5000"):
        end = size
        start = size - 500 if wanted == "bytes=-500" else start
    elif wanted == "bytes=-5000":
        start, end = max(0, size - 5000), size
    elif wanted == "bytes=2000-5000":
        end = min(5001, size)
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', data)}"
    got = registry.ask("GET", path, headers={"Range": wanted})
    assert (got.status, got.body) == (206, data[start:end])
    assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    assert got.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=500-0", "bytes=2048-", "bytes=5000-10000", "bytes=-0"])
def test_a_range_outside_is_416(registry: Registry, wanted: str) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    got = registry.ask("GET", path, headers={"Range": wanted})
    assert (got.status, got.headers["Content-Range"]) == (416, "bytes */2048")


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,5-6", "lines=1-2", "bytes=x-y", "bytes=-", "bytes=" + "9" * 50 + "-"]
)
def test_a_range_of_another_kind_is_ignored(registry: Registry, wanted: str) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    got = registry.ask("GET", path, headers={"Range": wanted})
    assert (got.status, len(got.body)) == (200, 2048)


def test_head_has_no_ranges(registry: Registry) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    head = registry.ask("HEAD", path, headers={"Range": "bytes=0-1"})
    assert (head.status, head.headers["Content-Length"]) == (200, "2048")


def test_what_did_not_change_is_not_sent_again(registry: Registry) -> None:
    path = f"/v2/blobs/ranges/blobs/{registry.push_blob('blobs/ranges', bytes(2048))}"
    tag = registry.ask("GET", path).headers["ETag"]
    assert registry.ask("GET", path, headers={"If-None-Match": tag}).status == 304
    part = {"Range": "bytes=0-1", "If-Range": tag}
    assert registry.ask("GET", path, headers=part).status == 206
    assert registry.ask("GET", path, headers=part | {"If-Range": '"other"'}).status == 200


def test_a_manifest_is_kept_byte_for_byte(registry: Registry) -> None:
    document = image(b"layer", annotations={"ä": "ö"}, custom={"kept": [1.50, None]}) + b"\n\n  "
    registry.push_blob("manifests/bytes", b"{}")
    registry.push_blob("manifests/bytes", b"layer")
    done = registry.put("manifests/bytes", "v1", document)
    digest = digest_of(document)
    assert (done.status, done.headers["Docker-Content-Digest"]) == (201, digest)
    for place in (done.headers["Location"], "/v2/manifests/bytes/manifests/v1"):
        got, head = registry.ask("GET", place), registry.ask("HEAD", place)
        assert got.body == document
        for answer in (got, head):
            assert answer.headers["Content-Type"] == MANIFEST
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["Content-Length"] == str(len(document))


def test_accept_is_never_a_reason_to_answer_nothing(registry: Registry) -> None:
    registry.push_image("manifests/accept", "v1")
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v1+json"}
    assert registry.ask("GET", "/v2/manifests/accept/manifests/v1", headers=accept).status == 200


def test_a_tag_moves_and_the_old_manifest_stays(registry: Registry) -> None:
    old, _ = registry.push_image("manifests/moves", "latest", b"one")
    assert registry.ask("GET", "/v2/manifests/moves/manifests/latest").headers["Docker-Content-Digest"] == old
    new, _ = registry.push_image("manifests/moves", "latest", b"two")
    assert registry.ask("GET", "/v2/manifests/moves/manifests/latest").headers["Docker-Content-Digest"] == new
    assert registry.ask("GET", f"/v2/manifests/moves/manifests/{old}").status == 200


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_put_by_digest_sets_tags(registry: Registry, algorithm: str) -> None:
    registry.push_blob("manifests/tagged", b"{}", algorithm)
    registry.push_blob("manifests/tagged", b"layer", algorithm)
    document = image(b"layer", algorithm)
    digest = digest_of(document, algorithm)
    tags = [f"{algorithm}-{number}" for number in range(12)]
    done = registry.put("manifests/tagged", digest, document, tag=tags)
    assert done.status == 201
    assert done.headers.get_all("OCI-Tag") == tags
    for tag in tags:
        head = registry.ask("HEAD", f"/v2/manifests/tagged/manifests/{tag}")
        assert head.headers["Docker-Content-Digest"] == digest


def test_tags_of_a_put_are_checked_before_anything_is_stored(registry: Registry) -> None:
    document = index()
    digest = digest_of(document)
    answer = registry.put("manifests/badtags", digest, document, INDEX, tag=["good", "-bad"])
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    many = [f"t{number}" for number in range(101)]
    assert registry.put("manifests/badtags", digest, document, INDEX, tag=many).status == 414
    assert registry.put("manifests/badtags", "v1", document, INDEX, tag="v2").status == 400
    assert registry.ask("GET", f"/v2/manifests/badtags/manifests/{digest}").status == 404


def test_the_digest_of_the_url_must_fit(registry: Registry) -> None:
    answer = registry.put("manifests/lies", ABSENT, index(), INDEX)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    for bad in ("sha256:baddigeststring", "md5:" + "0" * 32):
        assert registry.put("manifests/lies", bad, index(), INDEX).code == "DIGEST_INVALID"
        assert registry.ask("GET", f"/v2/manifests/lies/manifests/{bad}").status == 400


def test_a_manifest_of_four_mebibytes_is_taken_and_not_one_byte_more(registry: Registry) -> None:
    frame = index(annotations={"pad": ""})
    for extra, status in ((0, 201), (1, 413)):
        document = index(annotations={"pad": "x" * ((4 << 20) - len(frame) + extra)})
        assert len(document) == (4 << 20) + extra
        for chunked in (False, True):
            answer = registry.ask(
                "PUT",
                "/v2/manifests/large/manifests/v1",
                document,
                {"Content-Type": INDEX},
                chunked=chunked,
            )
            assert answer.status == status


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
def test_what_is_no_manifest_is_refused(registry: Registry, document: bytes, media_type: str) -> None:
    answer = registry.put("manifests/invalid", "v1", document, media_type)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    assert registry.ask("GET", "/v2/manifests/invalid/manifests/v1").status == 404


def test_unknown_kinds_of_manifests_are_kept(registry: Registry) -> None:
    document, kind = b'{"anything": "goes"}', "application/vnd.example.thing.v3+json"
    assert registry.put("manifests/unknown", "v1", document, kind).status == 201
    got = registry.ask("GET", "/v2/manifests/unknown/manifests/v1")
    assert (got.headers["Content-Type"], got.body) == (kind, document)


def test_a_manifest_needs_its_blobs(registry: Registry) -> None:
    answer = registry.put("manifests/missing", "v1", image())
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    named = {error["detail"]["digest"] for error in answer.json["errors"]}
    assert named == {digest_of(b"{}"), digest_of(b"layer")}
    answer = registry.put("manifests/missing", "v1", index(image()), INDEX)
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert registry.ask("GET", "/v2/manifests/missing/tags/list").status == 404


def test_a_wrong_size_is_told(registry: Registry) -> None:
    for data in (b"{}", b"layer"):
        registry.push_blob("manifests/sizes", data)
    document = json.loads(image())
    document["layers"][0]["size"] = 4
    answer = registry.put("manifests/sizes", "v1", json.dumps(document).encode())
    assert (answer.status, answer.code) == (400, "SIZE_INVALID")


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
    _, one = registry.push_image("manifests/nested", "one")
    inner = index(one)
    assert registry.put("manifests/nested", "inner", inner, INDEX).status == 201
    assert registry.put("manifests/nested", "outer", index(inner, empty), INDEX).status == 201


def test_a_conditional_put_loses_no_update(registry: Registry) -> None:
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
    seen: list[str] = []
    following: str | None = path + "?n=2"
    while following:
        answer = registry.ask("GET", following)
        assert len(answer.json["tags"]) <= 2
        seen += answer.json["tags"]
        link = answer.headers["Link"]
        following = urljoin(path, link.partition(">")[0][1:]) if link else None
        assert link is None or link.endswith('; rel="next"')
    assert seen == sorted(names)
    assert registry.ask("GET", path, n=0).json["tags"] == []
    assert registry.ask("GET", path, last="Z").json["tags"] == [n for n in sorted(names) if n > "Z"]
    assert registry.ask("GET", path, last="a").json["tags"] == [n for n in sorted(names) if n > "a"]
    assert registry.ask("GET", path, n=2, last="aa").json["tags"] == ["b", "z" * 128]
    for odd in ("-1", "x", "1e3", "9" * 40, ""):
        assert registry.ask("GET", path, n=odd).status == 400


def test_repositories_are_listed(registry: Registry) -> None:
    registry.push_image("catalog/one", "v1")
    listed = registry.ask("GET", "/v2/_catalog").json["repositories"]
    assert "catalog/one" in listed
    assert listed == sorted(listed)
    assert registry.ask("GET", "/v2/_catalog", n=1).headers["Link"]


def test_referrers_are_listed_with_what_they_are(registry: Registry) -> None:
    subject = descriptor(b"not here yet", MANIFEST)
    path = f"/v2/referrers/one/referrers/{subject['digest']}"
    empty = registry.ask("GET", path)
    assert (empty.status, empty.headers["Content-Type"]) == (200, INDEX)
    assert empty.json == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    registry.push_image("referrers/one", "plain")
    goal = []
    for more, kind in (
        ({}, "application/vnd.oci.image.config.v1+json"),
        ({"artifactType": "application/vnd.example.sbom"}, "application/vnd.example.sbom"),
        (
            {"artifactType": "application/vnd.example.a+b", "annotations": {"k": "v"}},
            "application/vnd.example.a+b",
        ),
    ):
        document = image(subject=subject, **more)
        done = registry.put("referrers/one", digest_of(document), document)
        assert (done.status, done.headers["OCI-Subject"]) == (201, subject["digest"])
        entry = descriptor(document, MANIFEST, artifactType=kind)
        goal.append(entry | ({"annotations": more["annotations"]} if "annotations" in more else {}))
    pointing = index(subject=subject, artifactType="application/vnd.example.sbom")
    done = registry.put("referrers/one", "pointing", pointing, INDEX)
    assert done.headers["OCI-Subject"] == subject["digest"]
    goal.append(descriptor(pointing, INDEX, artifactType="application/vnd.example.sbom"))
    listed = registry.ask("GET", path)
    by_digest = sorted(goal, key=lambda entry: str(entry["digest"]))
    assert listed.json["manifests"] == by_digest
    assert listed.headers["OCI-Filters-Applied"] is None
    for kind in {str(entry["artifactType"]) for entry in goal}:
        some = registry.ask("GET", path, artifactType=kind)
        assert some.headers["OCI-Filters-Applied"] == "artifactType"
        assert some.json["manifests"] == [entry for entry in by_digest if entry["artifactType"] == kind]
    first = registry.ask("GET", path, n=3)
    rest = registry.ask("GET", first.headers["Link"].partition(">")[0][1:])
    assert first.json["manifests"] + rest.json["manifests"] == by_digest
    assert rest.headers["Link"] is None
    assert registry.ask("DELETE", f"/v2/referrers/one/manifests/{goal[0]['digest']}").status == 202
    assert goal[0] not in registry.ask("GET", path).json["manifests"]


def test_many_referrers_come_in_pages_that_clients_can_read(registry: Registry) -> None:
    subject = descriptor(b"popular", MANIFEST)
    path: str | None = f"/v2/referrers/many/referrers/{subject['digest']}"
    for number in range(9):
        document = index(subject=subject, annotations={"large": "x" * 999_999, "n": str(number)})
        assert registry.put("referrers/many", digest_of(document), document, INDEX).status == 201
    seen = []
    while path:
        answer = registry.ask("GET", path)
        assert len(answer.body) <= 4 << 20
        seen += [entry["annotations"]["n"] for entry in answer.json["manifests"]]
        link = answer.headers["Link"]
        path = link.partition(">")[0][1:] if link else None
    assert sorted(seen) == [str(number) for number in range(9)]


def test_referrers_need_a_digest(registry: Registry) -> None:
    for bad in ("sha256:x", "latest", "md5:" + "0" * 32):
        answer = registry.ask("GET", f"/v2/referrers/one/referrers/{bad}")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_deleting_a_tag_leaves_the_manifest(registry: Registry) -> None:
    digest, _ = registry.push_image("deletes/tag", "v1")
    path = "/v2/deletes/tag/manifests/"
    assert registry.ask("GET", path + "v1").status == 200
    assert registry.ask("DELETE", path + "v1").status == 202
    assert registry.ask("HEAD", path + "v1").status == 404
    assert registry.ask("HEAD", path + digest).status == 200
    assert registry.ask("DELETE", path + "v1").code == "MANIFEST_UNKNOWN"


def test_deleting_a_manifest_takes_its_tags_along(registry: Registry) -> None:
    digest, _ = registry.push_image("deletes/manifest", "v1")
    path = "/v2/deletes/manifest/manifests/"
    assert registry.ask("GET", path + "v1").status == 200
    assert registry.ask("DELETE", path + digest).status == 202
    for reference in ("v1", digest):
        assert registry.ask("GET", path + reference).code == "MANIFEST_UNKNOWN"
    assert registry.ask("GET", "/v2/deletes/manifest/tags/list").json["tags"] == []


def test_deleting_a_blob_is_seen_at_once(registry: Registry) -> None:
    path = f"/v2/deletes/blob/blobs/{registry.push_blob('deletes/blob', b'gone soon')}"
    assert registry.ask("GET", path).status == 200
    assert registry.ask("DELETE", path).status == 202
    assert registry.ask("GET", path).code == "BLOB_UNKNOWN"
    assert registry.ask("DELETE", path).status == 404


@pytest.mark.parametrize(
    "name",
    ["UPPER", "a//b", "-a", "a-", "a..b", "a/../b", ".", "..", "a b", "a%00b", "_x", "é", "x" * 256],
)
def test_names_follow_the_grammar(registry: Registry, name: str) -> None:
    for path in (f"/v2/{name}/tags/list", f"/v2/{name}/manifests/v1", f"/v2/{name}/blobs/{ABSENT}"):
        answer = registry.ask("GET", path.replace(" ", "%20").replace("é", "%C3%A9"))
        assert (answer.status, answer.code) == (404, "NAME_INVALID")
    assert registry.ask("GET", "/v2/a__b/c.d-e---f/tags/list").code == "NAME_UNKNOWN"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
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
def test_methods_that_there_are_not(registry: Registry, method: str, path: str, allowed: str) -> None:
    answer = registry.ask(method, path)
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "UNSUPPORTED", allowed)


def test_paths_that_there_are_not(registry: Registry) -> None:
    for path in ("/", "/v1/", "/v2/x", "/v2/x/y/z", "/v2/manifests/v1", "/etc/passwd", "/v2//"):
        answer = registry.ask("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")


def test_a_repository_may_be_called_like_an_endpoint(registry: Registry) -> None:
    for name in ("manifests", "blobs/uploads", "x/tags/list", "a/referrers/b"):
        digest, document = registry.push_image(name, "tags")
        assert registry.ask("GET", f"/v2/{name}/manifests/{digest}").body == document
        assert registry.ask("GET", f"/v2/{name}/tags/list").json["tags"] == ["tags"]
