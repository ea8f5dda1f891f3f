"""A static registry in a bucket of a real S3 server, which clients reach through a proxy with TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.errors import FetchError, ImageError
from pumice.formats import oci
from pumice.image.transports import layout
from pumice.publish.bucket_tree import open_bucket
from tests.support import handmade, locations, nginx, s3, signed_images
from tests.support.handmade import ImageContents, file
from tests.support.memory_tree import find_missing
from tests.support.peers import need
from tests.support.s3 import BUCKET, Bucket

NAME = "team/hello"
BIG = 20_000_000
"""Bytes of a blob that is uploaded in parts."""
PROXY = """
location = /v2/ {{ proxy_pass http://{address}/{bucket}/v2/index.json; }}
location /v2/ {{ proxy_pass http://{address}/{bucket}/v2/; }}
"""

pytestmark = pytest.mark.peer("versitygw", "curl")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3.serving(tmp_path_factory.mktemp("s3")) as running_bucket:
        yield running_bucket


@pytest.fixture(autouse=True)
def _environment(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)


def signed(folder: Path, content: bytes) -> str:
    image = handmade.index(
        {platform: ImageContents([[file("data", content)]]) for platform in (handmade.AMD64, handmade.ARM64)}
    )
    locations.write(image, f"oci:{folder}", version="1.0")
    return signed_images.sign_folder(folder, 0, name="example.com/team/hello:1.0").root.digest


def publish(folder: Path, name: str, *options: str) -> None:
    assert main(["publish", "--oci", f"s3://{BUCKET}", "--name", name, *options, f"oci:{folder}"]) == 0


@pytest.mark.peer("nginx", "skopeo")
def test_clients_pull_from_a_bucket(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = signed(tmp_path / "layout", handmade.random_bytes(BIG, "a blob of several parts"))
    publish(tmp_path / "layout", f"{NAME}:1.0")
    tree = open_bucket(f"s3://{BUCKET}", bucket.environment)
    assert find_missing(tree) == []
    proxy = PROXY.format(address=bucket.address, bucket=BUCKET)
    with nginx.serving(tmp_path / "server", proxy) as server:
        reference = f"docker://{server.host}/{NAME}:1.0"
        copy = ["skopeo", "copy", "--all", "--src-tls-verify=false", reference, f"oci:{tmp_path}/copy:1.0"]
        subprocess.run(copy, check=True, capture_output=True, timeout=120)
        assert layout.read_layout(tmp_path / "copy").root.digest == digest
        capsys.readouterr()
        assert main(["copy", f"--ca={server.ca}", reference, f"oci:{tmp_path}/again"]) == 0
        assert capsys.readouterr().out.strip() == digest
        assert layout.read_layout(tmp_path / "again").referrers(digest)

        def head(path: str) -> str:
            command = [need("curl"), "--silent", "--cacert", str(server.ca), "--head"]
            url = f"https://{server.host}{path}"
            return subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout.lower()

        assert f"content-type: {oci.INDEX}" in head(f"/v2/{NAME}/manifests/1.0")
        assert "cache-control: no-cache" in head(f"/v2/{NAME}/manifests/1.0")
        assert f"content-type: {oci.INDEX}" in head(f"/v2/{NAME}/referrers/{digest}")
        assert "immutable" in head(f"/v2/{NAME}/manifests/{digest}")
        assert "content-type: application/json" in head("/v2/")


def test_a_bucket_is_updated_and_pruned(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = open_bucket(f"s3://{BUCKET}", bucket.environment)
    signed(tmp_path / "old", b"old")
    signed(tmp_path / "new", b"new")
    publish(tmp_path / "old", "app:latest")
    old = {path for path in tree.list_files() if path.startswith("v2/app/")}
    capsys.readouterr()
    publish(tmp_path / "old", "other:latest")
    assert "0 written" in capsys.readouterr().err
    publish(tmp_path / "new", "app:latest")
    assert old <= tree.list_files().keys()
    publish(tmp_path / "new", "app:latest", "--prune", "--grace-period", "0")
    assert find_missing(tree) == []
    left = {path for path in old if path in tree.list_files()}
    assert all("sha256:" not in path or "referrers" in path or "blobs" in path for path in left)
    assert f"v2/app/manifests/{layout.read_layout(tmp_path / 'old').root.digest}" not in left


def test_an_upload_in_parts_that_breaks_leaves_nothing(bucket: Bucket) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(BIG)
        raise ImageError("the source broke")

    tree = open_bucket(f"s3://{BUCKET}", bucket.environment)
    with pytest.raises(ImageError, match="the source broke"):
        tree.write("v2/broken/blobs/x", "application/octet-stream", chunks())
    assert "v2/broken/blobs/x" not in tree.list_files()


def test_failures_of_the_store_are_explained(bucket: Bucket) -> None:
    with pytest.raises(ImageError, match="there is no such bucket"):
        open_bucket("s3://missing", bucket.environment).list_files()


def test_wrong_credentials_are_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(FetchError, match="refused the request: SignatureDoesNotMatch"):
        open_bucket(f"s3://{BUCKET}", bucket.environment).list_files()
