"""Other clients push to our registry, pull from it, list its tags, and sign its images."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.support.peers import need
from tests.support.podman import private_podman, pull
from tests.support.serving import MANIFEST, Registry, descriptor, digest_of, image, serving

CRANE = "crane"
"""No package of a distribution: CI builds it as it builds cosign."""

USER, PASSWORD = "alice", "correct horse"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "users").write_text(f"{USER}:{hashed}\n")
    with serving(folder / "root", "--htpasswd", str(folder / "users")) as running_registry:
        yield running_registry


@pytest.fixture
def environment(tmp_path: Path, registry: Registry) -> dict[str, str]:
    """Return an environment with the auth file that all clients read."""
    folder = tmp_path / "docker"
    folder.mkdir()
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": token}}}))
    return os.environ | {
        "DOCKER_CONFIG": str(folder),
        "REGISTRY_AUTH_FILE": str(folder / "config.json"),
        "HOME": str(tmp_path),
        "COSIGN_PASSWORD": "",
    }


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    process = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=env, cwd=cwd, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Return the layout of an image of two layers."""
    contents = ({"./etc/": b"", "./etc/one": b"1"}, {"./two": os.urandom(100_000)})
    blobs = tmp_path / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
        return descriptor(data, media_type)

    tars = [_tar(files) for files in contents]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in tars]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [
            put(gzip.compress(data, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for data in tars
        ],
    }
    root = put(json.dumps(manifest).encode(), MANIFEST)
    index = {"schemaVersion": 2, "manifests": [root]}
    (tmp_path / "layout" / "index.json").write_text(json.dumps(index))
    (tmp_path / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return tmp_path / "layout"


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            entry.mode = 0o755 if name.endswith("/") else 0o644
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def test_skopeo_pushes_pulls_and_lists(
    registry: Registry, layout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    skopeo = need("skopeo")
    name = f"{registry.host}/skopeo/app"
    run(skopeo, "copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{name}:1", env=environment)
    without_login = environment | {
        "REGISTRY_AUTH_FILE": str(tmp_path / "none.json"),
        "DOCKER_CONFIG": str(tmp_path),
    }
    run(
        skopeo,
        "copy",
        "--src-tls-verify=false",
        f"docker://{name}:1",
        f"oci:{tmp_path / 'back'}:1",
        env=without_login,
    )
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    assert json.loads((tmp_path / "back/index.json").read_text())["manifests"][0]["digest"] == digest
    tag_list = run(skopeo, "list-tags", "--tls-verify=false", f"docker://{name}", env=without_login)
    assert json.loads(tag_list)["Tags"] == ["1"]
    run(need("umoci"), "unpack", "--rootless", "--image", f"{tmp_path / 'back'}:1", tmp_path / "bundle")
    run(skopeo, "delete", "--tls-verify=false", f"docker://{name}:1", env=environment)
    assert registry.ask("GET", "/v2/skopeo/app/tags/list").json["tags"] == []


def test_buildah_pulls_and_pushes(
    registry: Registry, layout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    buildah = need("buildah")
    name = f"{registry.host}/buildah/app"
    store = ["--root", str(tmp_path / "store"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    run(buildah, *store, "pull", f"oci:{layout}", env=environment)
    (image,) = json.loads(run(buildah, *store, "images", "--json", env=environment))
    run(buildah, *store, "push", "--tls-verify=false", image["id"], f"docker://{name}:1", env=environment)
    run(buildah, *store, "rmi", "--all", "--force", env=environment)
    run(buildah, *store, "pull", "--tls-verify=false", f"docker://{name}:1", env=environment)


def test_podman_pushes_pulls_and_lists(registry: Registry, layout: Path, environment: dict[str, str]) -> None:
    with private_podman() as podman:
        _use_podman(podman, f"{registry.host}/podman/app", layout, environment)


def _use_podman(podman: list[str], name: str, layout: Path, environment: dict[str, str]) -> None:
    image_id = pull(podman, f"oci:{layout}", environment=environment)
    run(*podman, "push", "--tls-verify=false", image_id, f"docker://{name}:1", env=environment)
    run(*podman, "rmi", "--all", "--force", env=environment)
    assert pull(podman, "--tls-verify=false", f"{name}:1", environment=environment) == image_id
    tag_list = run(*podman, "search", "--list-tags", "--tls-verify=false", name, env=environment)
    assert tag_list.split()[-2:] == [name, "1"]


def test_crane_copies_and_lists(
    registry: Registry, layout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    crane = need(CRANE)
    name = f"{registry.host}/crane/app"
    run(crane, "push", layout, f"{name}:1", env=environment)
    run(crane, "copy", f"{name}:1", f"{registry.host}/crane/copy:2", env=environment)
    assert run(crane, "ls", f"{registry.host}/crane/copy", env=environment).split() == ["2"]
    assert "crane/app" in run(crane, "catalog", registry.host, env=environment).split()
    run(crane, "pull", "--format", "oci", f"{registry.host}/crane/copy:2", tmp_path / "back", env=environment)
    digest = run(crane, "digest", f"{name}:1", env=environment).strip()
    assert (tmp_path / "back/blobs/sha256" / digest.partition(":")[2]).is_file()
    run(crane, "validate", "--remote", f"{name}:1", env=environment)


@pytest.mark.parametrize("generation", ["cosign2", "cosign3"])
def test_cosign_signs_and_verifies(
    registry: Registry, environment: dict[str, str], tmp_path: Path, generation: str
) -> None:
    cosign = need(generation)
    repository = f"{generation}/app"
    auth = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    digest = _push(registry, repository, auth)
    name = f"{registry.host}/{repository}@{digest}"
    run(cosign, "generate-key-pair", env=environment, cwd=tmp_path)
    offline = ["--tlog-upload=false"]
    if generation == "cosign3":
        offline = ["--signing-config", str(_no_services(tmp_path))]
    run(
        cosign, "sign", "--yes", "--allow-http-registry", *offline, "--key", tmp_path / "cosign.key", name,
        env=environment,
    )  # fmt: skip
    run(
        cosign, "verify", "--allow-http-registry", "--insecure-ignore-tlog=true", "--key",
        tmp_path / "cosign.pub", name, env=environment,
    )  # fmt: skip


def _no_services(folder: Path) -> Path:
    """Return a configuration that signs without public services."""
    file = folder / "signing-config.json"
    document = {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaConfig": {"selector": "ANY"},
    }
    file.write_text(json.dumps(document))
    return file


def _push(registry: Registry, repository: str, auth: dict[str, str]) -> str:
    for data in (b"{}", b"layer"):
        upload_path = f"/v2/{repository}/blobs/uploads/"
        assert registry.ask("POST", upload_path, data, auth, digest=digest_of(data)).status == 201
    document = image()
    headers = auth | {"Content-Type": MANIFEST}
    assert registry.ask("PUT", f"/v2/{repository}/manifests/1", document, headers).status == 201
    return digest_of(document)


def test_oras_pushes_pulls_and_lists(registry: Registry, tmp_path: Path) -> None:
    from oras.client import OrasClient

    client = OrasClient(hostname=registry.host, insecure=True, auth_backend="basic")
    client.login(
        username=USER, password=PASSWORD, hostname=registry.host, tls_verify=False,
        config_path=str(tmp_path / "config.json"),
    )  # fmt: skip
    file = tmp_path / "artifact.txt"
    file.write_text("hello from oras\n")
    target = f"{registry.host}/oras/thing:1"
    response = client.push(target=target, files=[str(file)], disable_path_validation=True)
    assert response.status_code == 201
    assert client.get_tags(f"{registry.host}/oras/thing") == ["1"]
    (pulled,) = client.pull(target=target, outdir=str(tmp_path / "out"))
    assert Path(pulled).read_text() == "hello from oras\n"
