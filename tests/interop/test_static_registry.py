"""Other clients pull from a static registry behind nginx, over TLS."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice import digest
from pumice.cli.main import main
from pumice.formats import oci
from pumice.image.transports import layout
from pumice.progress import Silent
from pumice.publish import nginx as nginx_configuration
from pumice.publish import oci_tree
from pumice.publish.directory_tree import open_directory
from pumice.publish.oci_tree import PublishedImage
from tests.support import handmade, locations, nginx, published, signed_images
from tests.support.nginx import Server
from tests.support.peers import need
from tests.support.podman import private_podman, pull

NAME = "team/hello"
OFFLINE_ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'

pytestmark = pytest.mark.peer("nginx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the layout of a signed image of two platforms, published as NAME:1.0."""
    path = tmp_path_factory.mktemp("static")
    contents = {handmade.AMD64: handmade.small(), handmade.ARM64: handmade.small()}
    locations.write(handmade.index(contents), f"oci:{path}/layout", version="1.0")
    signed_images.sign_folder(path / "layout", 0, name="example.com/team/hello:1.0")
    (path / "key.pub").write_bytes(signed_images.key(0).public_key.pem())
    (path / "docker").mkdir()
    (path / "docker" / "config.json").write_text("{}")
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    assert main(["publish", "--oci", f"{folder}/tree", "--name", f"{NAME}:1.0", f"oci:{folder}/layout"]) == 0
    with nginx.serving(folder / "server", f"include {folder}/tree/nginx.conf;") as running_server:
        yield running_server


@pytest.fixture
def environment(server: Server, folder: Path) -> dict[str, str]:
    return os.environ | {
        "HOME": str(folder),
        "DOCKER_CONFIG": str(folder / "docker"),
        "SSL_CERT_FILE": str(server.ca),
        "COSIGN_PASSWORD": "",
    }


def run(*command: str, env: dict[str, str]) -> str:
    process = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout


def curl(server: Server, path: str, *options: str) -> str:
    command = [need("curl"), "--silent", "--cacert", str(server.ca), *options, f"https://{server.host}{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def root_digest(folder: Path) -> str:
    return layout.read_layout(folder / "layout").root.digest


@pytest.mark.peer("skopeo")
def test_skopeo_copies_all_platforms_and_lists_tags(
    server: Server, folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    source = f"docker://{server.host}/{NAME}:1.0"
    run("skopeo", "copy", "--all", source, f"oci:{tmp_path}/copy:1.0", env=environment)
    assert layout.read_layout(tmp_path / "copy").root.digest == root_digest(folder)
    listed = json.loads(run("skopeo", "list-tags", f"docker://{server.host}/{NAME}", env=environment))
    assert "1.0" in listed["Tags"]
    by_digest = f"docker://{server.host}/{NAME}@{root_digest(folder)}"
    assert json.loads(run("skopeo", "inspect", "--raw", by_digest, env=environment))["schemaVersion"] == 2


@pytest.mark.peer("podman")
def test_podman_pulls(server: Server, folder: Path, environment: dict[str, str]) -> None:
    with private_podman() as podman:
        reference = f"{server.host}/{NAME}:1.0"
        pull(podman, reference, environment=environment)
        command = (*podman, "inspect", "--format", "{{.Digest}}", reference)
        digest = run(*command, env=environment).strip()
    index = oci.read_index((folder / "tree/v2" / NAME / "manifests/1.0.ocii").read_bytes())
    assert digest in {root_digest(folder), *(child.digest for child in index.manifests)}


@pytest.mark.peer("crane")
def test_crane_reads_manifests_and_pulls(
    server: Server, folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    reference = f"{server.host}/{NAME}:1.0"
    assert run("crane", "digest", reference, env=environment).strip() == root_digest(folder)
    assert "1.0" in run("crane", "ls", f"{server.host}/{NAME}", env=environment).split()
    assert run("crane", "catalog", server.host, env=environment).split() == [NAME]
    run("crane", "pull", "--format=oci", reference, str(tmp_path / "pulled"), env=environment)
    run("crane", "validate", "--remote", reference, env=environment)


@pytest.mark.parametrize("program", ["cosign2", "cosign3"])
def test_cosign_verifies_the_signature(
    server: Server, folder: Path, environment: dict[str, str], program: str
) -> None:
    (folder / "root.json").write_text(OFFLINE_ROOT)
    command = [need(program), "verify", "--key", str(folder / "key.pub"), "--insecure-ignore-tlog=true"]
    command += ["--trusted-root", str(folder / "root.json")]  # for bundles, which cosign finds as referrers
    run(*command, f"{server.host}/{NAME}:1.0", env=environment)


def test_pumice_pulls_the_image_with_its_signatures(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = f"docker://{server.host}/{NAME}:1.0"
    capsys.readouterr()
    key = str(folder / "key.pub")
    signed_name = "example.com/team/hello:1.0"
    assert main(["verify", f"--ca={server.ca}", "--key", key, "--as", signed_name, reference]) == 0
    capsys.readouterr()
    assert main(["copy", f"--ca={server.ca}", reference, f"oci:{folder}/again"]) == 0
    assert capsys.readouterr().out.strip() == root_digest(folder)
    counts = [
        len(layout.read_layout(folder / name).referrers(root_digest(folder))) for name in ("layout", "again")
    ]
    assert counts[0] == counts[1] > 0


def test_each_kind_of_object_has_its_content_type(server: Server, folder: Path) -> None:
    digest = root_digest(folder)

    def describe(path: str) -> list[str]:
        return (
            curl(server, path, "--head", "--write-out", "%{http_code} %{content_type}")
            .splitlines()[-1]
            .split()
        )

    assert describe("/v2/") == ["200", "application/json"]
    assert describe("/v2/_catalog") == ["200", "application/json"]
    assert describe(f"/v2/{NAME}/tags/list") == ["200", "application/json"]
    assert describe(f"/v2/{NAME}/manifests/1.0") == ["200", oci.INDEX]
    assert describe(f"/v2/{NAME}/manifests/{digest}") == ["200", oci.INDEX]
    manifest = oci.read_index(curl(server, f"/v2/{NAME}/manifests/1.0").encode()).manifests[0]
    assert describe(f"/v2/{NAME}/manifests/{manifest.digest}") == ["200", oci.MANIFEST]
    assert describe(f"/v2/{NAME}/referrers/{digest}") == ["200", oci.INDEX]
    assert describe(f"/v2/{NAME}/referrers/sha256:{'0' * 64}") == ["200", oci.INDEX]
    config = oci.read_manifest(curl(server, f"/v2/{NAME}/manifests/{manifest.digest}").encode()).config
    assert describe(f"/v2/{NAME}/blobs/{config.digest}") == ["200", "application/octet-stream"]
    for missing in (
        "manifests/2.0",
        f"manifests/sha256:{'0' * 64}",
        f"blobs/sha256:{'0' * 64}",
        "manifests/1.0.ocii",
    ):
        assert describe(f"/v2/{NAME}/{missing}")[0] == "404"
    headers = curl(server, f"/v2/{NAME}/manifests/{digest}", "--head").lower()
    assert f"docker-content-digest: {digest}" in headers


def test_a_blob_is_served_in_ranges(server: Server, folder: Path) -> None:
    path = max((folder / "tree/v2" / NAME / "blobs").iterdir(), key=lambda file: file.stat().st_size)
    options = ["--range", "10-19", "--output", str(folder / "part")]
    curl(server, f"/v2/{NAME}/blobs/{path.name}", *options)
    assert (folder / "part").read_bytes() == path.read_bytes()[10:20]


@pytest.mark.concurrency
def test_a_tag_can_always_be_read_while_it_changes(tmp_path: Path) -> None:
    """A tag changes between an index and a manifest, whose files have different suffixes."""
    index = handmade.index({handmade.AMD64: handmade.small(), handmade.ARM64: handmade.small()})
    images = [published.gather(image) for image in (index, handmade.image(handmade.small()))]
    with open_directory(tmp_path / "tree") as tree:

        def publish(number: int) -> None:
            image = PublishedImage(images[number % 2], "app", "latest")
            oci_tree.publish_images([image], tree, Silent())

        publish(0)
        directives = nginx_configuration.make_configuration(str(tree.root))
        with nginx.serving(tmp_path / "server", directives) as server:
            stop = threading.Event()
            responses: list[tuple[int, str, str]] = []

            def read() -> None:
                context = ssl.create_default_context(cafile=str(server.ca))
                connection = http.client.HTTPSConnection(server.host, context=context, timeout=60)
                while not stop.is_set():
                    connection.request("GET", "/v2/app/manifests/latest")
                    response = connection.getresponse()
                    content_type = response.headers["Content-Type"]
                    responses.append((response.status, content_type, digest.of(response.read())))
                connection.close()

            reader = threading.Thread(target=read)
            reader.start()
            for number in range(60):
                publish(number)
            stop.set()
            reader.join()
    expected = [
        (200, image.graph.nodes[image.graph.root.digest].descriptor.media_type, image.graph.root.digest)
        for image in images
    ]
    assert set(responses) <= set(expected)
    assert responses
