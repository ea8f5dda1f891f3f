"""Images in the store as dependencies: of OCI, of App Container, and those that only claim to be of it."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.cli.pods import app_container_images
from pumice.errors import PumiceError, TrustError
from pumice.formats.tar import Entry
from pumice.image import aci_cache, aci_writer
from pumice.image.aci_conversion import TITLE, VERSION
from pumice.image.flatten import flatten
from pumice.progress import Silent
from pumice.runtime.app_container.dependency_images import DependencySearch, complete_image
from pumice.runtime.app_container.pod_images import find_stored
from pumice.runtime.run_options import ImageOptions
from pumice.store.home import Home
from tests.support import aci, handmade, images
from tests.support.publishers import Publisher, enter_home, read_fingerprint
from tests.support.publishers import run as run_command
from tests.support.registry import Registry, serving
from tests.support.websites import serving as serving_site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.model import Image

BASE = "127.0.0.1/base"
LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
NAMED = {TITLE: BASE, VERSION: "1.0"}
INSECURE = ("--insecure-options=image", "--progress", "none")
Out = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a store."""
    enter_home(tmp_path, monkeypatch)
    return tmp_path


def write_app(project: Path, *dependencies: dict[str, Any], **members: Any) -> Path:
    """Write an image with one file that depends on others."""
    path = project / "app.aci"
    listed = [{"imageName": BASE, **each} for each in dependencies or ({},)]
    items = [handmade.folder("srv"), handmade.file("srv/app", b"app")]
    aci.image(path, items, name="127.0.0.1/app", labels=LABELS, dependencies=listed, **members)
    return path


def complete(path: Path, *, insecure: bool = True) -> Image:
    """Return an image with its dependencies, none of which is discovered."""
    with Home(Path.cwd() / "store") as home:
        source = ImageOptions(is_insecure=insecure)
        search = DependencySearch(home=home, progress=Silent(), source=source)
        return complete_image(aci_cache.open_aci(path, home.records, Silent()), search)


def list_paths(image: Image) -> Sequence[str]:
    """Return the paths of the files in an image."""
    entries = ((pair[0] for pair in layer.entries()) for layer in image.layers())
    return sorted(path for path, visible in flatten(entries).items() if visible.entry.kind != "dir")


def store_base(*layers: images.Layer, name: str = f"{BASE}:1.0", **more: Any) -> str:
    """Store an OCI image; return its digest."""
    with Home(Path.cwd() / "store") as home:
        return images.make(home, layers, name=name, **more).root.digest


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("an image was converted")


TWO_LAYERS: tuple[images.Layer, ...] = (
    {"srv/kept": "kept", "srv/removed": "removed", "srv/other": "other"},
    {"srv/.wh.removed": "", "srv/link": Entry("srv/link", "hardlink", 0o644, link="srv/kept")},
)


def test_an_oci_image_is_a_dependency_as_a_whole(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_base(*TWO_LAYERS)
    app = write_app(project, {"labels": [{"name": "version", "value": "1.0"}]})
    first = complete(app)
    assert list_paths(first) == ["srv/app", "srv/kept", "srv/link", "srv/other"]
    filtered = write_app(project, pathWhitelist=["/srv/link", "/srv/app"])
    assert list_paths(complete(filtered)) == ["srv/app", "srv/link"]
    monkeypatch.setattr(aci_writer, "write_aci", refuse)
    assert complete(write_app(project)).root.digest != first.root.digest  # the manifest differs
    complete(filtered)


def test_the_newest_version_is_preferred(project: Path) -> None:
    for version in ("1.9", "1.10", "1.2", "edge"):
        annotations = {TITLE: BASE, VERSION: version}
        store_base({f"srv/{version}": ""}, name=f"{BASE}:{version}", annotations=annotations)
    assert list_paths(complete(write_app(project))) == ["srv/1.10", "srv/app"]


def test_whiteouts_of_an_oci_image_do_not_reach_other_dependencies(project: Path) -> None:
    store_base(*TWO_LAYERS)
    store_base({"srv/removed": "of another"}, name="127.0.0.1/below:1.0")
    app = write_app(project, {"imageName": "127.0.0.1/below"}, {})
    assert "srv/removed" in list_paths(complete(app))


def test_only_images_with_the_labels_are_converted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aci_writer, "write_aci", refuse)
    store_base(*TWO_LAYERS)
    store_base(*TWO_LAYERS, name=f"{BASE}:2.0", architecture="riscv64")
    for label in ({"name": "version", "value": "3.0"}, {"name": "channel", "value": "beta"}):
        with pytest.raises(PumiceError, match="cannot find"):
            complete(write_app(project, {"labels": [label]}))


def convert(source: str, name: str, capsys: Out) -> tuple[str, int]:
    """Convert an image to a file; return its image ID and size."""
    run_command(capsys, "convert", *INSECURE, source, f"aci:{name}", "--name", BASE)
    output = run_command(capsys, "aci", "validate", name)[0]
    return output.split()[-1], Path(name).stat().st_size


def test_an_oci_image_has_the_image_id_that_converting_it_gives(project: Path, capsys: Out) -> None:
    store_base(*TWO_LAYERS)
    (project / "files").mkdir()
    image_id, size = convert(f"{BASE}:1.0", "files/base.aci", capsys)
    assert "srv/kept" in list_paths(complete(write_app(project, {"imageID": image_id})))
    # The ID says more than the size of a file.
    assert "srv/kept" in list_paths(complete(write_app(project, {"imageID": image_id, "size": 1})))
    with pytest.raises(TrustError, match="does not have the ID"):
        complete(write_app(project, {"imageID": "sha512-" + "0" * 128}))
    sized = write_app(project, {"size": size})
    with pytest.raises(TrustError, match="requires a size") as refused:
        complete(sized)
    assert refused.value.where == f"{BASE}:1.0"
    assert refused.value.hint == f"put its file next to the image: pumice convert {BASE}:1.0 aci:FILE"
    Path("files/base.aci").rename("base.aci")  # as the hint says
    assert "srv/kept" in list_paths(complete(sized))


def test_an_oci_image_from_elsewhere_must_be_signed(project: Path, capsys: Out) -> None:
    store_base(*TWO_LAYERS)
    with pytest.raises(TrustError, match="built here as an image without a name, not as"):
        complete(write_app(project), insecure=False)
    store_base(*TWO_LAYERS, annotations=NAMED)
    complete(write_app(project), insecure=False)
    run_command(capsys, "copy", f"{BASE}:1.0", "oci:layout")
    run_command(capsys, "rm", f"{BASE}:1.0")
    run_command(capsys, "gc", "--all")
    run_command(capsys, "copy", *INSECURE, "oci:layout", f"store:{BASE}:1.0")
    with pytest.raises(TrustError, match="cannot use the dependency"):
        complete(write_app(project), insecure=False)


def test_the_size_of_a_copied_image_is_that_of_its_files(project: Path, capsys: Out) -> None:
    store_base(*TWO_LAYERS)
    Path("files").mkdir()
    sizes = []
    for compression in ("gzip", "xz"):
        run_command(
            capsys, "convert", "--compression", compression, f"{BASE}:1.0", f"aci:files/{compression}.aci"
        )
        sizes.append(Path(f"files/{compression}.aci").stat().st_size)
    run_command(capsys, "rm", f"{BASE}:1.0")
    for compression in ("gzip", "xz"):
        run_command(capsys, "copy", *INSECURE, f"aci:files/{compression}.aci", f"store:{BASE}:1.0")
    for size in sizes:
        assert "srv/kept" in list_paths(complete(write_app(project, {"size": size})))
    with pytest.raises(TrustError, match="does not have the size that the dependency requires") as refused:
        complete(write_app(project, {"size": sizes[0] + 1}))
    assert refused.value.exit_code == 7


def test_a_copied_image_keeps_the_signers_of_its_file(project: Path, capsys: Out) -> None:
    store_base(*TWO_LAYERS)
    convert(f"{BASE}:1.0", "signed.aci", capsys)
    run_command(capsys, "key", "generate", "--openpgp", "Ada <ada@example.com>", "--output", "release")
    run_command(capsys, "sign", "aci:signed.aci", "--key", "release.key")
    (project / "apps").mkdir()
    app = write_app(project).rename("apps/app.aci")
    run_command(capsys, "copy", *INSECURE, "aci:signed.aci", f"store:{BASE}:1.0")
    with pytest.raises(TrustError, match="is not signed"):
        complete(app, insecure=False)
    trust = ("--prefix", "127.0.0.1", "release.pub", "--fingerprint", read_fingerprint("release.pub"))
    run_command(capsys, "trust", "add", *trust)
    run_command(capsys, "copy", "--progress", "none", "aci:signed.aci", f"store:{BASE}:1.0")
    assert "srv/kept" in list_paths(complete(app, insecure=False))


def test_an_image_id_that_an_annotation_claims_does_not_count(project: Path, capsys: Out) -> None:
    """An image of a registry or a layout can have any annotation."""
    store_base(*TWO_LAYERS)
    image_id, _ = convert(f"{BASE}:1.0", "base.aci", capsys)
    run_command(capsys, "rm", f"{BASE}:1.0")
    run_command(capsys, "copy", *INSECURE, "aci:base.aci", "oci:layout")
    Path("base.aci").unlink()
    run_command(capsys, "copy", *INSECURE, "oci:layout", f"store:{BASE}:1.0")
    assert "srv/kept" in list_paths(complete(write_app(project, {"imageID": image_id})))
    with Home(Path.cwd() / "store") as home:
        assert find_stored(image_id, home, Silent()) == f"{BASE}:1.0"
    claimed = "sha512-" + "12" * 64
    replace_text(Path("layout"), image_id, claimed)
    run_command(capsys, "copy", *INSECURE, "oci:layout", f"store:{BASE}:1.0")
    with pytest.raises(TrustError, match="does not have the ID"):
        complete(write_app(project, {"imageID": claimed}))
    with Home(Path.cwd() / "store") as home:
        assert not find_stored(claimed, home, Silent())


def replace_text(layout: Path, old: str, new: str) -> None:
    """Replace a text in the manifest of a layout."""
    from pumice import digest

    index = json.loads((layout / "index.json").read_text())
    descriptor = index["manifests"][0]
    blobs = layout / "blobs" / "sha256"
    manifest = (blobs / descriptor["digest"][7:]).read_text().replace(old, new).encode()
    (blobs / descriptor["digest"][7:]).unlink()
    descriptor |= {"digest": digest.of(manifest), "size": len(manifest)}
    (blobs / descriptor["digest"][7:]).write_bytes(manifest)
    (layout / "index.json").write_text(json.dumps(index))


def test_a_dependency_may_be_in_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    enter_home(tmp_path, monkeypatch)
    with serving_site(tmp_path / "www", tmp_path / "nginx") as site, serving(Registry()) as host:
        publisher = Publisher(site, capsys, tmp_path)
        store_base(*TWO_LAYERS, annotations=NAMED)
        run_command(capsys, "key", "generate", "--output", "cosign")
        reference = f"docker://{host}/apps/base:1.0"
        run_command(capsys, "push", f"{BASE}:1.0", reference)
        run_command(capsys, "rm", f"{BASE}:1.0")
        run_command(capsys, "sign", reference, "--key", "cosign.key", "--as", f"{BASE}:1.0")
        content = f"pumice-discovery-oci=127.0.0.1 docker://{host}/apps/{{suffix}}:{{version}}"
        publisher.write_page(content)
        app = write_app(tmp_path, {"labels": [{"name": "version", "value": "1.0"}]})
        with pytest.raises(PumiceError, match="cannot use the dependency"):
            discover_and_complete(app, publisher)
        trust = ("--prefix", BASE, "cosign.pub", "--fingerprint", read_fingerprint("cosign.pub"))
        run_command(capsys, "trust", "add", *trust)
        assert "srv/kept" in list_paths(discover_and_complete(app, publisher))


def discover_and_complete(path: Path, publisher: Publisher) -> Image:
    """Return an image with its dependencies, which are discovered."""
    source = ImageOptions()
    options = Namespace(
        creds=None, authfile=None, plain_http=False, tls_verify=False, cert="", cert_dir="", ca=""
    )
    with Home(Path.cwd() / "store") as home:
        search = DependencySearch(
            home=home,
            progress=Silent(),
            source=source,
            discover=lambda dependency: app_container_images.discover(
                dependency, home, Silent(), options, source, port=publisher.site.port
            ),
        )
        return complete_image(aci_cache.open_aci(path, home.records, Silent()), search)
