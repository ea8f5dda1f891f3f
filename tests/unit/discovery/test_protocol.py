"""The protocol of discovery: pages in, endpoints out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.discovery import protocol
from pumice.discovery.pages import MetaTag
from pumice.discovery.protocol import Discovery, PageResponse
from pumice.discovery.tags import TagResult, evaluate_tag
from pumice.errors import FetchError, FormatError, UsageError

ROOT = "https://example.com"
LABELS = {"version": "1.0", "os": "linux", "arch": "amd64"}
STANDARD = "https://storage.example.com/{os}/{arch}/{name}-{version}.{ext}"


def page(*tags: tuple[str, str]) -> PageResponse:
    metas = "".join(f'<meta name="{name}" content="{content}">' for name, content in tags)
    return PageResponse(200, f"<head>{metas}</head>".encode())


def discover(name: str, pages: dict[str, PageResponse], **options: Any) -> tuple[Discovery, list[str]]:
    """Return what is discovered, and the URLs that were asked for; other pages do not exist."""
    exchange = protocol.discover(name, options.pop("labels", LABELS), **options)
    asked = []
    try:
        request = next(exchange)
        while True:
            asked.append(request.url)
            path = request.url.removeprefix("https://").partition("?")[0]
            request = exchange.send(pages.get(path, PageResponse(404)))
    except StopIteration as stop:
        return stop.value, asked


def evaluate(content: str, name: str = "example.com/app", labels: dict[str, str] = LABELS) -> TagResult:
    return evaluate_tag(MetaTag("ac-discovery", content), name, labels, "https://example.com")


def test_the_pages_of_a_name_are_its_own_and_those_of_its_parents() -> None:
    _, asked = discover("example.com/a/b", {})
    assert asked == [
        "https://example.com/a/b?ac-discovery=1",
        "https://example.com/a?ac-discovery=1",
        f"{ROOT}?ac-discovery=1",
    ]


def test_a_port_is_that_of_every_page() -> None:
    _, asked = discover("example.com/a", {}, port=8443)
    assert asked == [
        "https://example.com:8443/a?ac-discovery=1",
        "https://example.com:8443?ac-discovery=1",
    ]


def test_the_first_page_with_a_usable_tag_decides_separately_for_images_and_keys() -> None:
    found, asked = discover(
        "example.com/a/b",
        {
            "example.com/a/b": page(("ac-discovery", f"example.com/other {STANDARD}")),
            "example.com/a": page(("ac-discovery", f"example.com {STANDARD}")),
            "example.com": page(
                ("ac-discovery", "example.com https://elsewhere.example/{name}.{ext}"),
                ("ac-discovery-pubkeys", "example.com https://example.com/keys"),
            ),
        },
    )
    assert [image.url for image in found.images] == [
        "https://storage.example.com/linux/amd64/example.com/a/b-1.0.aci"
    ]
    assert [key.url for key in found.keys] == ["https://example.com/keys"]
    assert len(asked) == 3


def test_no_more_pages_are_asked_for_than_needed() -> None:
    own = page(("ac-discovery", f"example.com {STANDARD}"))
    assert len(discover("example.com/a/b", {"example.com/a/b": own}, keys=False)[1]) == 1
    assert len(discover("example.com/a/b", {"example.com/a/b": own}, images=False)[1]) == 3


def test_all_endpoints_of_a_page_are_kept_in_order() -> None:
    found, _ = discover(
        "example.com/a",
        {
            "example.com": page(
                ("pumice-discovery-oci", "example.com docker://r.example/x/{suffix}:{version}"),
                ("ac-discovery", f"example.com {STANDARD}"),
                ("ac-discovery", "example.com hdfs://storage.example.com/{name}-{version}.{ext}"),
            )
        },
    )
    assert [(image.kind, image.url) for image in found.images] == [
        ("registry", "docker://r.example/x/a:1.0"),
        ("aci", "https://storage.example.com/linux/amd64/example.com/a-1.0.aci"),
        ("aci", "hdfs://storage.example.com/example.com/a-1.0.aci"),
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_page_that_does_not_exist_leads_to_its_parent(status: int) -> None:
    pages = {
        "example.com/a": PageResponse(status),
        "example.com": page(("ac-discovery", f"example.com {STANDARD}")),
    }
    assert len(discover("example.com/a", pages)[0].images) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_server_that_fails_does_not_let_its_parent_decide(status: int) -> None:
    pages = {"example.com": page(("ac-discovery", f"example.com {STANDARD}"))}
    with pytest.raises(FetchError, match=f"the server responded {status}"):
        discover("example.com/a", pages | {"example.com/a": PageResponse(status)})


def test_a_head_without_an_end_is_an_error() -> None:
    endless = PageResponse(200, b"<head>" + b"<link>" * 100_000)
    with pytest.raises(FormatError, match="does not end"):
        discover("example.com/a", {"example.com/a": endless})


def test_the_error_for_a_name_without_images_says_why_of_each_page() -> None:
    found, _ = discover(
        "example.com/a",
        {"example.com/a": PageResponse(401), "example.com": page(("ac-discovery", "example.com x"))},
    )
    error = protocol.explain_absence(found, "image")
    assert "https://example.com/a: 401 Unauthorized" in error.message
    assert "it has no absolute URL" in error.message or "no {ext}" in error.message
    assert "--creds" in (error.hint or "")


@pytest.mark.parametrize("name", ["hello", "a_b.example/x", "~me.example", "hello/example.com"])
def test_a_name_without_a_host_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="does not begin with a host"):
        protocol.list_pages(name)


@pytest.mark.parametrize(
    ("prefix", "name", "matches"),
    [
        ("example.com", "example.com", True),
        ("example.com", "example.com/a/b", True),
        ("example.com/", "example.com/a", True),
        ("example.com/a", "example.com/a/b", True),
        ("example.com/foo", "example.com/foobar", False),
        ("example.co", "example.com/a", False),
        ("example.com/a/b", "example.com/a", False),
        ("xample.com", "example.com", False),
        ("/", "example.com", False),
    ],
)
def test_prefixes_match_whole_elements(prefix: str, name: str, matches: bool) -> None:
    assert (evaluate(f"{prefix} {STANDARD}", name).endpoint is not None) == matches


@pytest.mark.parametrize(
    ("template", "labels", "url"),
    [
        (STANDARD, LABELS, "https://storage.example.com/linux/amd64/example.com/app-1.0.aci"),
        (
            f"{STANDARD}?torrent",
            LABELS,
            "https://storage.example.com/linux/amd64/example.com/app-1.0.aci?torrent",
        ),
        ("https://a.example/{name}-{version}.{ext}", {}, "https://a.example/example.com/app-latest.aci"),
        (
            "https://a.example/{channel}/{name}.{ext}",
            {"channel": "beta"},
            "https://a.example/beta/example.com/app.aci",
        ),
        ("https://a.example/{name}.{ext}", {"name": "evil"}, "https://a.example/example.com/app.aci"),
        ("https://a.example/{name}.{ext}", {"ext": "exe"}, "https://a.example/example.com/app.aci"),
        (
            "https://a.example/{version}.{ext}",
            {"version": "../../x y"},
            "https://a.example/..%2F..%2Fx%20y.aci",
        ),
        ("https://a.example/{version}.{ext}", {"version": "{name}"}, "https://a.example/%7Bname%7D.aci"),
        ("https://a.example/{version}.{ext}", {"version": "1.0+b~1"}, "https://a.example/1.0+b~1.aci"),
        ("https://a.example/{suffix}.{ext}", {}, "https://a.example/app.aci"),
    ],
)
def test_templates_are_rendered(template: str, labels: dict[str, str], url: str) -> None:
    endpoint = evaluate(f"example.com {template}", labels=labels).endpoint
    assert endpoint is not None
    assert endpoint.url == url
    assert endpoint.signature == url.replace(".aci", ".aci.asc")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not a prefix and a URL"),
        ("example.com", "not a prefix and a URL"),
        (f"example.com {STANDARD} x", "not a prefix and a URL"),
        ("example.com https://a.example/" + "x" * 3000, "not a prefix and a URL"),
        ("example.com https://a.example/{name}.aci", "has no {ext}"),
        ("example.com https://a.example/{flavor}.{ext}", "{flavor} has no value"),
        ("example.com https://a.example/{}.{ext}", "{} has no value"),
        ("example.com /a/{name}.{ext}", "no absolute URL"),
        ("example.com https://[a/{name}.{ext}", "no absolute URL"),
        ("example.com javascript:{name}.{ext}", "no absolute URL"),
        ("example.com https://a.example/ü{name}.{ext}", "no absolute URL"),
    ],
)
def test_a_tag_that_cannot_be_used_says_why(content: str, reason: str) -> None:
    result = evaluate(content)
    assert result.endpoint is None
    assert reason in result.reason


def test_a_suffix_needs_something_after_the_prefix() -> None:
    assert evaluate("example.com/app https://a.example/{suffix}.{ext}").endpoint is None


@given(st.text(max_size=80), st.dictionaries(st.sampled_from(["version", "os", "a"]), st.text(max_size=9)))
def test_any_tag_is_evaluated(content: str, labels: dict[str, str]) -> None:
    for prefix in ("", "example.com ", "example.com https://a.example/{version}{os}{a}.{ext}"):
        result = evaluate(prefix + content, labels=labels)
        assert (result.endpoint is None) == bool(result.reason)
        if result.endpoint is not None:
            assert result.endpoint.url.isascii()
            assert " " not in result.endpoint.url
