"""The images of App Container pod manifests: in files, in the store, and by discovery."""

from __future__ import annotations

import functools
import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.cli.main import main
from pumice.cli.pods import app_container_images
from pumice.errors import ImageError, TrustError
from pumice.progress import Silent
from pumice.runtime.app_container import pod_images
from pumice.runtime.app_container.dependency_images import DependencySearch
from pumice.runtime.pod_inputs.files import read_pod_file
from pumice.runtime.run_options import ImageOptions
from pumice.store.home import Home
from tests.support import aci, images, people
from tests.support.publishers import enter_home
from tests.support.publishers import run as run_command

if TYPE_CHECKING:
    from tests.support.publishers import Publisher

NAME = "127.0.0.1/hello"
OTHER_ID = "sha512-" + "0" * 128
LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
INSECURE = ("--insecure-options=image", "--progress", "none")
Out = pytest.CaptureFixture[str]


def write_pod(image_id: str, **members: Any) -> None:
    """Write a pod manifest with one app."""
    apps = [{"name": "app", "image": {"id": image_id, **members}}]
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps}
    Path("pod.json").write_text(json.dumps(manifest))


def find(publisher: Publisher | None = None, *files: str, insecure: bool = False) -> str:
    """Return the reference of the image of the app; with a publisher, images are discovered there."""
    source = ImageOptions(is_insecure=insecure)
    options = Namespace(
        creds=None, authfile=None, plain_http=False, tls_verify=None, cert="", cert_dir="",
        ca=str(publisher.site.ca) if publisher else "",
    )  # fmt: skip
    with Home(Path.cwd() / "store") as home, Path("pod.json").open("rb") as stdin:
        discover = functools.partial(
            app_container_images.discover,
            home=home,
            progress=Silent(),
            options=options,
            source=source,
            port=publisher.site.port if publisher else None,
        )
        search = DependencySearch(
            home=home,
            progress=Silent(),
            source=source,
            files=tuple(map(Path, files)),
            discover=discover if publisher else None,
        )
        (app,) = read_pod_file("pod.json", {}, stdin).apps
        located = pod_images.find_image(app, pod_images.open_files(search), search)
        assert located is not None
        return located[0]


def version(text: str) -> dict[str, Any]:
    return {"name": NAME, "labels": [{"name": "version", "value": text}]}


def test_an_image_is_discovered_by_its_name_and_verified(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    write_pod(publisher.image_id, **version("1.0"))
    with pytest.raises(TrustError, match=r"cannot use the image of the app 'app': .*trust"):
        find(publisher)
    publisher.trust()
    assert find(publisher) == f"{NAME}:1.0"
    requests = publisher.site.requests()
    assert find(publisher) == f"{NAME}:1.0"
    assert publisher.site.requests() == requests  # it is in the store
    write_pod(publisher.image_id)  # also without a name
    assert find() == f"{NAME}:1.0"


def test_an_older_version_than_before_is_discovered_by_its_id(publisher: Publisher, capsys: Out) -> None:
    publisher.publish(publisher.write("1.0"))
    first = publisher.image_id
    publisher.publish(publisher.write("2.0", motd=b"newer"))
    publisher.trust()
    publisher.fetch(f"{NAME}:2.0")
    capsys.readouterr()
    write_pod(first, **version("1.0"))
    assert find(publisher) == f"{NAME}:1.0"


@pytest.mark.parametrize("is_stored", [False, True])
def test_another_image_behind_the_name_is_refused(is_stored: bool, publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    if is_stored:
        publisher.fetch(NAME)
    for members in (version("1.0"), {"name": NAME}):
        write_pod(OTHER_ID, **members)
        with pytest.raises(TrustError) as refused:
            find(publisher)
        assert refused.value.where == f"{NAME}:1.0"
        assert f"not {OTHER_ID[:23]}…" in refused.value.message
        assert refused.value.exit_code == 7


def test_an_image_that_is_nowhere_is_not_found(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    write_pod(publisher.image_id, **version("3.0"))
    with pytest.raises(ImageError, match=f"cannot find the image {NAME} of the app 'app': ") as missing:
        find(publisher)
    assert missing.value.exit_code == 10
    write_pod(publisher.image_id)
    with pytest.raises(ImageError, match="of the app 'app': it is not in the store"):
        find(publisher)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a store."""
    enter_home(tmp_path, monkeypatch)
    return tmp_path


def test_an_oci_image_in_the_store_is_found_by_the_id_that_converting_it_gives(
    project: Path, capsys: Out
) -> None:
    with Home(project / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name=f"{NAME}:1.0")
    run_command(capsys, "convert", "--progress", "none", f"{NAME}:1.0", "aci:hello.aci")
    image_id = run_command(capsys, "aci", "validate", "hello.aci")[0].split()[-1]
    write_pod(image_id, **version("1.0"))
    assert find() == f"{NAME}:1.0"
    assert find(None, "hello.aci", insecure=True) == "hello.aci"  # files come first
    write_pod(image_id)
    with pytest.raises(ImageError):  # without a name, nothing says that it is worth converting
        find()


def test_a_file_with_the_name_and_another_id_is_refused(project: Path, capsys: Out) -> None:
    aci.shell(project / "hello.aci", {"exec": ["echo", "hello"]}, name=NAME, labels=LABELS)
    write_pod(OTHER_ID, name=NAME)
    assert main(["play", *INSECURE, "--aci", "hello.aci", "pod.json"]) == 7
    assert "error: hello.aci: the image of the app 'app' is sha512-" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["root", "ordinary"])
def test_a_file_is_the_image_of_a_compose_service_with_its_name(name: str) -> None:
    with people.person(name) as person:
        aci.shell(person.home / "hello.aci", {"exec": ["echo", "hello"]}, name=NAME, labels=LABELS)
        (person.home / "compose.yaml").write_text(f"services: {{app: {{image: '{NAME}'}}}}\n")
        person.give(person.home)
        result = person.pumice("play", *INSECURE, "--aci", "hello.aci", "compose.yaml")
        assert result.stdout == "app | hello\n", result.stderr
