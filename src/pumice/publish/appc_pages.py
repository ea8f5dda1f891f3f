"""The pages of an App Container tree: for programs that discover images, and for people that read them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.publish.appc_index import PublishedImage

TEMPLATE = "aci/{name}-{version}-{os}-{arch}.{ext}"
"""The place of an image, or of its signature, below the URL of the tree."""
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ddd}code,pre{font:14px/1.5 ui-monospace,monospace}"
    "pre{background:#f5f5f5;padding:.8rem;overflow-x:auto}td.n{text-align:right}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}pre{background:#24272d}"
    "th,td{border-color:#444}a{color:#8ab4f8}}"
)


class PublishedKey(msgspec.Struct, frozen=True):
    """A key of a tree: its file, relative to the tree."""

    fingerprint: str
    file: str
    user_id: str = ""


class Site(msgspec.Struct, frozen=True):
    """A published tree: its URL without a slash at the end, and all its images and keys."""

    url: str
    images: tuple[PublishedImage, ...]
    keys: tuple[PublishedKey, ...]


def list_pages(site: Site) -> dict[str, bytes]:
    """Return the pages by their path below the tree: one for everything, and one for each name."""
    hosts = sorted({_host(image.name) for image in site.images})
    pages = {"index.html": _format_page(site, "Images", hosts, site.images)}
    for name in sorted({image.name for image in site.images if "/" in image.name}):
        of_name = [image for image in site.images if image.name == name]
        pages[page_path(name)] = _format_page(site, name, [_host(name)], of_name)
    return pages


def page_path(name: str) -> str:
    """Return the path of the page of a name; that of a bare host is the page for everything."""
    return f"{name}/index.html".partition("/")[2]


def _host(name: str) -> str:
    return name.partition("/")[0]


def _format_page(site: Site, title: str, hosts: Sequence[str], images: Sequence[PublishedImage]) -> bytes:
    tags = []
    for host in hosts:
        tags.append(_format_tag("ac-discovery", f"{host} {site.url}/{TEMPLATE}"))
        tags += [_format_tag("ac-discovery-pubkeys", f"{host} {site.url}/{key.file}") for key in site.keys]
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        *tags,
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{escape(title)}</h1>",
        *_format_usage(site, images),
        *_format_images(site, images),
        *_format_keys(site),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines).encode() + b"\n"


def _format_tag(name: str, content: str) -> str:
    return f'<meta name="{name}" content="{escape(content)}">'


def _format_usage(site: Site, images: Sequence[PublishedImage]) -> list[str]:
    if not images:
        return []
    example = images[-1]
    port = site.url.partition("://")[2].partition("/")[0].rpartition(":")[2]
    option = f"--port {port} " if port.isdigit() else ""
    commands = (
        f"pumice trust add {option}--prefix {_host(example.name)}",
        f"pumice fetch {option}{example.name}:{example.version}",
        f"pumice run {example.name}:{example.version}",
    )
    return ["<pre>" + "\n".join(escape(command) for command in commands) + "</pre>"]


def _format_images(site: Site, images: Sequence[PublishedImage]) -> list[str]:
    rows = [
        "<tr>"
        f'<td><a href="{escape(site.url)}/{quote(image.file)}">{escape(image.name)}</a></td>'
        f"<td>{escape(image.version)}</td><td>{escape(image.os)}/{escape(image.arch)}</td>"
        f'<td class="n">{image.size / 1_000_000:.1f} MB</td>'
        f'<td><a href="{escape(site.url)}/{quote(image.file)}.asc">signature</a></td>'
        f"<td><code>{escape(image.image_id[:23])}…</code></td></tr>"
        for image in images
    ]
    head = "<tr><th>Name</th><th>Version</th><th>Platform</th><th>Size</th><th></th><th>Image ID</th></tr>"
    return ["<table>", head, *rows, "</table>"]


def _format_keys(site: Site) -> list[str]:
    if not site.keys:
        return []
    items = [
        f'<li><a href="{escape(site.url)}/{escape(key.file)}">'
        f"<code>{escape(key.fingerprint.upper())}</code></a> {escape(key.user_id)}</li>"
        for key in site.keys
    ]
    return ["<h2>Keys</h2>", "<ul>", *items, "</ul>"]
