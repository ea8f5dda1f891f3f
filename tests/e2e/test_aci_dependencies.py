"""Running App Container images with dependencies: from files, from the store, and by discovery."""

from __future__ import annotations

import functools
import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.cli.pods import app_container_images
from pumice.errors import PumiceError
from pumice.image import aci_cache, aci_reader, aci_rendering
from pumice.progress import Silent
from pumice.runtime.app_container.dependency_images import DependencySearch, complete_image
from pumice.runtime.run_options import ImageOptions
from pumice.store.home import Home
from tests.support import aci, people
from tests.support.handmade import file, folder
from tests.support.publishers import Publisher
from tests.support.publishers import run as run_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.people import Person

LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
SHOW = {"exec": ["sh", "-c", "cat /srv/base /srv/app; ls /srv"], "user": "0", "group": "0"}
INSECURE = ("--progress", "none", "--insecure-options=image")
Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


def labels(version: str = "1.0") -> list[dict[str, str]]:
    return [{"name": "version", "value": version}, *LABELS]


def write_base(path: Path, text: str = "base", version: str = "1.0", **members: Any) -> str:
    """Write an image with busybox and two files; return its ID."""
    path.parent.mkdir(exist_ok=True)
    items = [folder("srv", 0o750), file("srv/base", f"{text}\n".encode()), file("srv/more", b"")]
    return aci.shell(path, {}, *items, name="127.0.0.1/base", labels=labels(version), **members)


def write_app(path: Path, dependency: dict[str, Any] | None = None, **members: Any) -> str:
    """Write an image whose program is that of its dependency; return its ID."""
    dependencies = [{"imageName": "127.0.0.1/base", **(dependency or {})}]
    items = [folder("srv"), file("srv/app", b"app\n")]
    members = {"name": "127.0.0.1/app", "labels": labels(), "app": SHOW, **members}
    return aci.image(path, items, dependencies=dependencies, **members)


def test_a_dependency_is_found_beside_the_image(person: Person) -> None:
    place = person.home / "beside"
    write_base(place / "any-name.aci")
    (place / "broken.aci").write_bytes(b"no image")
    write_app(place / "app.aci", {"labels": [{"name": "version", "value": "1.0"}]})
    person.give(place)
    result = person.pumice("run", *INSECURE, "aci:beside/app.aci")
    assert result.stdout.split() == ["base", "app", "app", "base", "more"], result.stderr
    assert "aci:beside/any-name.aci: signatures are not verified" in result.stderr


def test_a_whitelist_applies_to_what_is_run(person: Person) -> None:
    place = person.home / "filtered"
    write_base(place / "base.aci")
    paths = ["/srv/base", "/srv/app", "/bin/busybox", "/bin/sh", "/bin/cat", "/bin/ls"]
    write_app(place / "app.aci", pathWhitelist=paths)
    person.give(place)
    for _ in range(2):
        result = person.pumice("run", *INSECURE, "aci:filtered/app.aci")
        assert result.stdout.split() == ["base", "app", "app", "base"], result.stderr


def test_a_dependency_is_found_in_the_store(person: Person) -> None:
    image_id = write_base(person.home / "stored" / "base.aci", "stored")
    person.give(person.home)
    copied = person.pumice("copy", *INSECURE, "aci:stored/base.aci", "store:127.0.0.1/base:1.0")
    assert copied.returncode == 0, copied.stderr
    write_app(
        person.home / "from-store.aci",
        {"imageID": image_id, "size": (person.home / "stored" / "base.aci").stat().st_size},
    )
    person.give(person.home)
    result = person.pumice("run", *INSECURE, "aci:from-store.aci")
    assert result.stdout.split()[:2] == ["stored", "app"], result.stderr
    other = write_app(person.home / "other.aci", {"imageID": "sha512-" + "0" * 128})
    person.give(person.home)
    refused = person.pumice("run", *INSECURE, "aci:other.aci")
    assert refused.returncode == 7
    assert "127.0.0.1/base does not have the ID that the dependency requires" in refused.stderr
    assert other not in refused.stdout


def test_a_pod_of_an_image_with_a_dependency_beside_it(person: Person) -> None:
    place = person.home / "pod"
    write_base(place / "base.aci", "pod")
    image_id = write_app(place / "app.aci")
    app = {"name": "app", "image": {"id": image_id}}
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [app]}
    (place / "pod.json").write_text(json.dumps(manifest))
    person.give(place)
    result = person.pumice("play", *INSECURE, "--aci", "pod/app.aci", "pod/pod.json")
    assert result.stdout.splitlines()[:2] == ["app | pod", "app | app"], result.stderr


def test_a_missing_dependency_is_an_error_that_says_where_to_put_it(person: Person) -> None:
    place = person.home / "missing"
    place.mkdir()
    write_app(place / "app.aci", {"imageName": "127.0.0.1/nowhere"})
    person.give(place)
    result = person.pumice("run", *INSECURE, "aci:missing/app.aci")
    assert result.returncode == 10
    assert "cannot find 127.0.0.1/nowhere, which the image depends on" in result.stderr
    assert "put its file into missing" in result.stderr


# In this process ----------------------------------------------------------------------------------


def complete(path: Path, publisher: Publisher, *, insecure: bool = False) -> Sequence[str]:
    """Return the paths in an image with its dependencies, which are discovered if necessary."""
    source = ImageOptions(is_insecure=insecure)
    options = Namespace(
        creds=None, authfile=None, plain_http=False, tls_verify=None, cert="", cert_dir="",
        ca=str(publisher.site.ca),
    )  # fmt: skip
    with Home(publisher.folder / "store") as home:
        discover = functools.partial(
            app_container_images.discover,
            home=home,
            progress=Silent(),
            options=options,
            source=source,
            port=publisher.site.port,
        )
        search = DependencySearch(home=home, progress=Silent(), source=source, discover=discover)
        image = complete_image(aci_cache.open_aci(path, home.records, Silent()), search)
        return [entry.path for layer in image.layers() for entry, _ in layer.entries()]


def test_a_dependency_is_discovered_and_verified(publisher: Publisher) -> None:
    publisher.publish(publisher.write(name="127.0.0.1/base"))
    app = publisher.folder / "apps" / "app.aci"
    app.parent.mkdir()
    write_app(app)
    with pytest.raises(PumiceError, match="trust"):
        complete(app, publisher)
    publisher.trust()
    paths = complete(app, publisher)
    assert {"etc/motd", "srv/app"} <= set(paths)
    requests = publisher.site.requests()
    assert complete(app, publisher) == paths
    assert publisher.site.requests() == requests  # it is in the store


def test_a_dependency_in_a_file_must_be_signed_for_its_name(publisher: Publisher, capsys: Out) -> None:
    publisher.publish(publisher.write(name="127.0.0.1/other"))
    publisher.trust()
    base, app = publisher.folder / "base.aci", publisher.folder / "app.aci"
    write_base(base)
    write_app(app)
    with pytest.raises(PumiceError) as refused:
        complete(app, publisher)
    assert "cannot use the dependency 127.0.0.1/base: the image is not signed" in refused.value.message
    run_command(capsys, "sign", f"aci:{base}", "--key", "release.key")
    assert "srv/base" in complete(app, publisher)
    write_base(base, "another")
    with pytest.raises(PumiceError, match="cannot use the dependency"):
        complete(app, publisher)


def test_another_image_behind_the_name_of_a_dependency_is_not_discovered(publisher: Publisher) -> None:
    publisher.publish(publisher.write(name="127.0.0.1/base"))
    publisher.trust()
    app = publisher.folder / "apps" / "app.aci"
    app.parent.mkdir()
    write_app(app, {"imageID": "sha512-" + "0" * 128})
    with pytest.raises(PumiceError) as refused:
        complete(app, publisher)
    assert "does not have the ID" in refused.value.message
    assert refused.value.exit_code == 7


def test_what_was_rendered_is_not_read_again(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    write_base(publisher.folder / "base.aci")
    write_app(publisher.folder / "app.aci", pathWhitelist=["/srv/base"])

    def render() -> str:
        with Home(publisher.folder / "store") as home:
            search = DependencySearch(home=home, progress=Silent(), source=ImageOptions(is_insecure=True))
            read = aci_cache.open_aci(publisher.folder / "app.aci", home.records, Silent())
            return complete_image(read, search).root.digest

    first = render()
    files = [publisher.folder / name for name in ("app.aci", "base.aci")]
    assert first == aci_rendering.render(files[0], files[1:], Silent()).image.root.digest

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was read again")

    monkeypatch.setattr(aci_reader, "read_aci", refuse)
    monkeypatch.setattr(aci_reader, "write_layer", refuse)
    assert render() == first
    monkeypatch.undo()
    write_base(publisher.folder / "base.aci", "changed")
    assert render() != first
