"""``pumice history``."""

from __future__ import annotations

import json

import pytest

from pumice.cli.main import main
from tests.support import handmade, locations
from tests.support.handmade import ImageContents, file

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(arguments) == code
    return capsys.readouterr()


@pytest.fixture(autouse=True)
def _image(host: str) -> None:
    status = (
        "Package: app\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
        "Package: base\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
    )
    layers = [
        [
            file("usr/bin/base", b"base"),
            file("var/lib/dpkg/status", status.encode()),
            file("var/lib/dpkg/info/base.list", b"/usr/bin/base\n"),
            file("var/lib/dpkg/info/app.list", b"/usr/bin/app\n"),
        ],
        [file("usr/bin/app", b"application")],
    ]
    contents = ImageContents(layers, compression="plain", comments=("base", "application"))
    locations.write(handmade.image(contents), "oci:app", version="1.0")


def test_layers_are_listed_with_their_packages_the_newest_first(capsys: Out) -> None:
    out, err = run(capsys, "history", "oci:app")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["LAYER", "CREATED", "CREATED", "BY", "SIZE", "PACKAGES"]
    assert [line[-1] for line in lines[1:]] == ["app", "base"]
    assert err == ""


def test_json_has_everything_in_full(capsys: Out) -> None:
    newest, oldest = json.loads(run(capsys, "history", "oci:app", "--json")[0])
    assert (newest["layer"], newest["packages"], newest["unpacked"]) == (2, ["app"], 11)
    assert (oldest["layer"], oldest["packages"]) == (1, ["base"])
    assert newest["digest"].startswith("sha256:")
    out = run(capsys, "history", "oci:app", "--format", '{{.Layer}} {{join .Packages ","}}')[0]
    assert out == "2 app\n1 base\n"
