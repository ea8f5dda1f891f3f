"""The table of endpoints: any request line is an endpoint with valid parts, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.registry.server import calls, grammar
from pumice.registry.server.endpoints import ENDPOINTS, Right, find_endpoint
from pumice.registry.server.responses import ServerResponse

SHA256 = "sha256:" + "a" * 64
SHA512 = "sha512:" + "b" * 128
UPLOAD = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("method", "path", "handler", "right", "repository", "reference"),
    [
        ("GET", "/v2/", "get_base", Right.LOGIN, "", ""),
        ("GET", "/v2", "get_base", Right.LOGIN, "", ""),
        ("GET", "/healthz", "get_base", Right.NONE, "", ""),
        ("HEAD", "/v2/a/b/blobs/" + SHA256, "get_blob", Right.READ, "a/b", SHA256),
        ("DELETE", "/v2/a/blobs/" + SHA512, "delete_blob", Right.WRITE, "a", SHA512),
        ("GET", "/v2/a/manifests/v1", "get_manifest", Right.READ, "a", "v1"),
        ("PUT", "/v2/a/manifests/" + SHA256, "put_manifest", Right.WRITE, "a", SHA256),
        ("POST", "/v2/a/blobs/uploads/", "begin_upload", Right.WRITE, "a", ""),
        ("POST", "/v2/a/blobs/uploads", "begin_upload", Right.WRITE, "a", ""),
        ("PATCH", "/v2/a/blobs/uploads/" + UPLOAD, "append_to_upload", Right.WRITE, "a", UPLOAD),
        ("GET", "/v2/a/tags/list", "list_tags", Right.READ, "a", ""),
        ("GET", "/v2/a/referrers/" + SHA512, "list_referrers", Right.READ, "a", SHA512),
        (
            "GET",
            "/v2/blobs/uploads/blobs/uploads/" + UPLOAD,
            "get_upload",
            Right.WRITE,
            "blobs/uploads",
            UPLOAD,
        ),
    ],
)
def test_every_endpoint_is_found(
    method: str, path: str, handler: str, right: Right, repository: str, reference: str
) -> None:
    match = find_endpoint(method, path)
    assert not isinstance(match, ServerResponse)
    assert getattr(match.endpoint.handler, "__name__", "") == handler
    assert (match.endpoint.right, match.repository, match.reference) == (right, repository, reference)


def test_a_proxy_answers_exactly_the_reads_of_repositories() -> None:
    assert {endpoint for endpoint in ENDPOINTS if endpoint.proxied} == {
        endpoint for endpoint in ENDPOINTS if endpoint.right is Right.READ
    }


def test_whatever_changes_a_repository_needs_the_right_to_write() -> None:
    for endpoint in ENDPOINTS:
        assert endpoint.method == "GET" or endpoint.right is Right.WRITE


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
def test_any_request_line_is_an_endpoint_with_valid_parts_or_an_error(method: str, path: str) -> None:
    match = find_endpoint(method, path)
    if isinstance(match, ServerResponse):
        assert 400 <= match.status < 500
        return
    if match.repository:
        assert grammar.NAME.fullmatch(match.repository)
        assert len(match.repository) <= 255
    if match.reference:
        valid_forms = (grammar.TAG, grammar.DIGEST, grammar.UPLOAD_ID)
        assert any(form.fullmatch(match.reference) for form in valid_forms)


@given(st.text())
def test_any_query_is_parsed(text: str) -> None:
    for values in calls.parse_query(text).values():
        assert values


def test_repeated_parameters_keep_their_order() -> None:
    assert calls.parse_query("tag=b&tag=a&n=&tag=b") == {"tag": ["b", "a", "b"], "n": [""]}
