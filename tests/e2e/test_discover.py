"""``pumice discover``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support import websites
from tests.support.websites import Website

Out = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    extra = "location /cached { add_header Cache-Control max-age=60; }"
    with websites.serving(tmp_path / "www", tmp_path / "nginx", extra) as site:
        yield site


def write(site: Website, path: str, *tags: tuple[str, str]) -> None:
    page = site.root / path / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    metas = "".join(f"<meta name='{name}' content='{content}'>\n" for name, content in tags)
    page.write_text(f"<html><head>{metas}</head><body></body></html>")


def discover(capsys: Out, site: Website, name: str, *options: str, code: int = 0) -> tuple[str, str]:
    connection = ("--ca", str(site.ca), "--port", str(site.port))
    assert main(["discover", name, *connection, *options]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_images_and_keys_may_come_from_different_pages(capsys: Out, site: Website) -> None:
    write(site, "team", ("ac-discovery", "127.0.0.1/team https://a.example/{name}-{version}.{ext}"))
    write(site, "", ("ac-discovery-pubkeys", "127.0.0.1 https://a.example/keys.asc"))
    out, _ = discover(capsys, site, "127.0.0.1/team/app:1.0", "--json")
    found = json.loads(out)
    assert [image["url"] for image in found["images"]] == ["https://a.example/127.0.0.1/team/app-1.0.aci"]
    assert [image["signature"] for image in found["images"]] == [
        "https://a.example/127.0.0.1/team/app-1.0.aci.asc"
    ]
    assert [key["url"] for key in found["keys"]] == ["https://a.example/keys.asc"]
    assert [step["status"] for step in found["steps"]] == [404, 200, 200]


def test_each_step_says_what_was_found_and_why(capsys: Out, site: Website) -> None:
    write(
        site,
        "",
        ("ac-discovery", "127.0.0.1/ap https://a.example/{name}.{ext}"),
        ("ac-discovery", "127.0.0.1 https://a.example/{name}-{flavor}.{ext}"),
        ("ac-discovery", "127.0.0.1 https://a.example/{name}.aci"),
        ("pumice-discovery-oci", "127.0.0.1 docker://r.example/x/{suffix}:{version}"),
    )
    out, _ = discover(capsys, site, "127.0.0.1/app")
    assert "its prefix does not match the name" in out
    assert "its variable {flavor} has no value" in out
    assert "its template has no {ext}" in out
    assert "image   docker://r.example/x/app:latest" in out


def test_a_fresh_page_is_not_asked_for_again(capsys: Out, site: Website) -> None:
    write(site, "cached", ("ac-discovery", "127.0.0.1 https://a.example/{name}.{ext}"))
    for _ in range(2):
        discover(capsys, site, "127.0.0.1/cached")
    assert site.requests().count("GET /cached/?ac-discovery=1 200") == 1


def test_a_name_without_images_has_its_own_exit_code(capsys: Out, site: Website) -> None:
    out, _ = discover(capsys, site, "127.0.0.1/none", code=6)
    assert "404 Not Found" in out
    assert "image   none" in out


@pytest.mark.parametrize("name", ["hello", "Example.com/x", "example.com/x:1:2", "example.com/x,version"])
def test_what_is_not_a_name_is_explained(capsys: Out, site: Website, name: str) -> None:
    discover(capsys, site, name, code=2)
