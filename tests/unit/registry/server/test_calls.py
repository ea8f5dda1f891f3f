"""No request line is more than an answer or a call whose parts are harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.registry.server import calls
from pumice.registry.server.calls import Call
from pumice.registry.server.responses import Answer

SHA256 = "sha256:" + "a" * 64
SHA512 = "sha512:" + "b" * 128
UPLOAD = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("GET", "/v2/", Call("base")),
        ("HEAD", "/v2/a/b/blobs/" + SHA256, Call("blob", "a/b", SHA256)),
        ("DELETE", "/v2/a/blobs/" + SHA512, Call("delete-blob", "a", SHA512, writes=True)),
        ("GET", "/v2/a/manifests/v1", Call("manifest", "a", "v1")),
        ("PUT", "/v2/a/manifests/" + SHA256, Call("put-manifest", "a", SHA256, writes=True)),
        ("POST", "/v2/a/blobs/uploads/", Call("begin", "a", writes=True)),
        ("POST", "/v2/a/blobs/uploads", Call("begin", "a", writes=True)),
        ("PATCH", "/v2/a/blobs/uploads/" + UPLOAD, Call("append", "a", UPLOAD, writes=True)),
        ("GET", "/v2/a/tags/list", Call("tags", "a")),
        ("GET", "/v2/a/referrers/" + SHA512, Call("referrers", "a", SHA512)),
        ("GET", "/v2/blobs/uploads/blobs/uploads/" + UPLOAD, Call("status", "blobs/uploads", UPLOAD, True)),
    ],
)
def test_every_endpoint_is_a_call(method: str, path: str, call: Call) -> None:
    assert calls.parse(method, path) == call


PARTS = st.sampled_from(
    [
        "v2",
        "a",
        "blobs",
        "uploads",
        "manifests",
        "tags",
        "list",
        "referrers",
        "..",
        "",
        "\0",
        SHA256,
        SHA512,
        UPLOAD,
    ]
)
PATHS = st.one_of(
    st.text(), st.lists(st.one_of(PARTS, st.text(max_size=5))).map("/".join).map("/v2/".__add__)
)


@given(st.one_of(st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]), st.text()), PATHS)
def test_whatever_comes_is_a_call_with_harmless_parts_or_an_error(method: str, path: str) -> None:
    made = calls.parse(method, path)
    if isinstance(made, Answer):
        assert 400 <= made.status < 500
        return
    if made.repository:
        assert calls.NAME.fullmatch(made.repository)
        assert len(made.repository) <= 255
    if made.reference:
        harmless = (calls.TAG, calls.DIGEST, calls.UPLOAD)
        assert any(each.fullmatch(made.reference) for each in harmless)


@given(st.text())
def test_whatever_a_query_is_it_is_read(text: str) -> None:
    for values in calls.query(text).values():
        assert values


def test_repeated_parameters_keep_their_order() -> None:
    assert calls.query("tag=b&tag=a&n=&tag=b") == {"tag": ["b", "a", "b"], "n": [""]}
