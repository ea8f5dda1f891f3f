"""A real S3 server on loopback: versitygw, with a bucket that everyone may read."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support import ports, waiting
from tests.support.peers import need

BUCKET = "images"


class Bucket(NamedTuple):
    """A bucket. ``address`` is that of the server, ``folder`` has an object in each file."""

    address: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which clients reach the bucket."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": f"http://{self.address}",
            "AWS_ALLOW_HTTP": "true",
        }


@contextmanager
def serving(folder: Path) -> Iterator[Bucket]:
    """Run the server until the context ends."""
    program = need("versitygw")
    (folder / "buckets" / BUCKET).mkdir(parents=True)
    (folder / "metadata").mkdir()
    with ports.reserve() as port:
        yield from _serve(program, folder, port)


def _serve(program: str, folder: Path, port: int) -> Iterator[Bucket]:
    address = f"127.0.0.1:{port}"
    bucket = Bucket(address, folder / "buckets" / BUCKET)
    environment = {
        **os.environ,
        "ROOT_ACCESS_KEY": bucket.environment["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": bucket.environment["AWS_SECRET_ACCESS_KEY"],
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(program, "--port", address, "--quiet"),
                *("posix", "--sidecar", str(folder / "metadata"), str(folder / "buckets")),
            ],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        waiting.for_server(port, process, (folder / "log").read_text)
        _make_readable(bucket)
        yield bucket
    finally:
        process.terminate()
        process.wait(waiting.PATIENCE_SECONDS)


def _make_readable(bucket: Bucket) -> None:
    """Let everyone read the objects, with the policy of a public bucket."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
    connection = http.client.HTTPConnection(bucket.address, timeout=60)
    connection.request("PUT", f"/{BUCKET}?policy=", policy, _sign_request(bucket, policy))
    response = connection.getresponse()
    assert response.status in (200, 204), response.read()
    connection.close()


def _sign_request(bucket: Bucket, body: bytes) -> dict[str, str]:
    """Return the headers of a request that sets the policy (AWS Signature Version 4)."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{bucket.environment['AWS_REGION']}/s3/aws4_request"
    headers = {
        "host": bucket.address,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": stamp,
    }
    lines = [*(f"{name}:{value}" for name, value in headers.items()), "", ";".join(headers)]
    request = "\n".join(["PUT", f"/{BUCKET}", "policy=", *lines, headers["x-amz-content-sha256"]])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{bucket.environment['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"Credential={bucket.environment['AWS_ACCESS_KEY_ID']}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={';'.join(headers)}, Signature={key.hex()}"
    return {**headers, "Authorization": authorization}
