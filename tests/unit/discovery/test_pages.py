"""The meta tags in the head of a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.discovery.pages import MAX_HEAD, MetaTag, read_head

TAG = '<meta name="ac-discovery" content="example.com https://example.com/{name}.{ext}">'
FOUND = (MetaTag("ac-discovery", "example.com https://example.com/{name}.{ext}"),)


@pytest.mark.parametrize(
    "page",
    [
        f"<!DOCTYPE html><html><head>{TAG}</head></html>",
        f"<head><title>a < b </title>{TAG}</head>",
        f"{TAG}</head>",
        f"<HEAD>{TAG.replace('meta', 'META').replace('name', 'NAME', 1)}</HEAD>",
        "<head><meta content='example.com https://example.com/{name}.{ext}' name=AC-Discovery></head>",
        '<head><meta name = "ac-discovery"\n content\n=\n"example.com https://example.com/{name}.{ext}"/></head>',
        '<head><meta name="ac-discovery" content="example.com https&#58;//example.com/{name}.{ext}"></head>',
        f"<head><script>if (a < b) {{ '</head>' }}</script>{TAG}</head>",
        f"<head><!-- > -- -->{TAG}</head>",
        f"<head><?php echo 1 ?><![CDATA[x]]>{TAG}</head>",
        f"<head></ ><3 & < {TAG}</head>",
        f"\ufeff<head><link rel=stylesheet href=a.css>{TAG}<body>",
        '<meta name="ac-discovery" content="example.com https://example.com/{name}.{ext}" content=""></head>',
    ],
)
def test_tags_are_read_as_browsers_read_them(page: str) -> None:
    head = read_head(page.encode())
    assert head.tags == FOUND
    assert head.is_complete


@pytest.mark.parametrize(
    "page",
    [
        f"<head></head><body>{TAG}</body>",
        f"<body>{TAG}",
        f"<head><!-- {TAG} --></head>",
        f"<head><!-- {TAG}",
        f"<head><script>{TAG}</script></head>",
        f"<head><title>{TAG}</title></head>",
        f"<head><template>{TAG}</template></head>",
        f"<head><style>{TAG}",
        f"<head><textarea>{TAG}</TEXTAREA></head>",
        '<head><meta property="ac-discovery" content="example.com https://example.com/{name}.{ext}"></head>',
        f'<head><meta content="{TAG}"></head>',
        '<head><meta name="ac-discovery',
    ],
)
def test_what_is_not_a_tag_of_the_head_does_not_count(page: str) -> None:
    assert read_head(page.encode()).tags == ()


def test_a_page_without_the_end_of_its_head_is_not_complete() -> None:
    head = read_head(f"<head>{TAG}".encode())
    assert head.tags == FOUND
    assert not head.is_complete


@given(st.binary(max_size=300))
def test_any_bytes_are_read(data: bytes) -> None:
    read_head(data)


@given(
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "</",
                "<!--",
                "-->",
                "<!",
                "<?",
                "meta",
                "name=",
                '"',
                "'",
                "=",
                "/",
                " ",
                "head",
                "script",
                "title",
                "body",
                "ac-discovery",
                "&#58;",
                "&#1114112;",
                "\x00",
                "content",
                "é",
                "<![CDATA[",
            ]
        ),
        max_size=60,
    )
)
def test_pieces_of_tags_in_any_order_are_read(parts: list[str]) -> None:
    page = "".join(parts)
    for tag in read_head(page.encode()).tags:
        assert tag.name == tag.name.strip().lower()
    # What follows the head never counts.
    ending = "</head>" + TAG
    assert len(read_head((page + ending).encode()).tags) <= page.count("meta") + 1


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "<a",
        "<a ",
        "</",
        "<!--",
        "<!",
        "<a b=",
        '<a b="',
        "<a b='",
        "<script>",
        "<title",
        "<a =",
        "& ",
        "<a\t/",
        "&#",
        "<a b=\"' c='\" ",
        "</title",
        "<meta name=a content=b>",
        "<a b = ",
        "\t \n",
    ],
)
def test_the_largest_page_of_one_pattern_is_read(unit: str) -> None:
    """It would take minutes if the time were quadratic."""
    page = unit * (MAX_HEAD // len(unit))
    read_head(page.encode())
    read_head(b"<head><title>" + page.encode())
