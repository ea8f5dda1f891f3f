"""Every example is built from the real mirror, rebuilt in another environment, and used."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ports, waiting
from tests.support.docs import ROOT
from tests.support.real import EXAMPLES

pytestmark = pytest.mark.mirror


def pumice(folder: Path, *arguments: str, **environment: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "pumice", *arguments],
        cwd=folder,
        env={**os.environ, "PUMICE_HOME": str(folder / "store"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, str, str]]]:
    """Build an example once for the tests of this file; yield its folder, digest and reference."""

    class Built(dict[str, tuple[Path, str, str]]):
        def __missing__(self, name: str) -> tuple[Path, str, str]:
            folder = tmp_path_factory.mktemp(name)
            ignore = shutil.ignore_patterns("*.lock", "__pycache__")
            shutil.copytree(ROOT / "examples" / name, folder / "example", ignore=ignore)
            conf = folder / "example" / "nginx.conf"
            if conf.exists():
                conf.write_text(conf.read_text().replace("8080", str(server_port)))
            pumice(folder, "lock", "example/recipe.yaml", "--bundle", "bundle")
            digest = pumice(folder, "build", "example/recipe.yaml")
            recipe = (folder / "example" / "recipe.yaml").read_text()
            parts = [
                re.search(rf'^{key}: "?([^"\n]+)"?$', recipe, re.MULTILINE) for key in ("name", "version")
            ]
            self[name] = folder, digest, ":".join(part[1] for part in parts if part)
            return self[name]

    with ports.reserve() as server_port:
        yield Built()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_the_same_digest_in_another_environment(
    name: str, built: dict[str, tuple[Path, str, str]], tmp_path: Path
) -> None:
    folder, digest, _ = built[name]
    shutil.copytree(folder / "example", tmp_path / "some" / "where", copy_function=shutil.copy)
    for path in (tmp_path / "some").rglob("*.yaml"):
        path.write_text(
            re.sub(
                r"^packages: \[(.*)\]$",
                lambda match: f"packages: [{', '.join(reversed(match[1].split(', ')))}]",
                path.read_text(),
                flags=re.MULTILINE,
            )
        )
    umask_before = os.umask(0o077)
    try:
        rebuilt_digest = pumice(
            tmp_path,
            *("build", "--locked", "--offline", "--bundle", str(folder / "bundle"), "some/where/recipe.yaml"),
            TZ="Asia/Kathmandu",
            LANG="tr_TR.UTF-8",
            LC_ALL="C",
            PYTHONHASHSEED="12345",
        )
    finally:
        os.umask(umask_before)
    assert rebuilt_digest == digest


def test_static_has_data_and_no_way_to_run_a_script(
    built: dict[str, tuple[Path, str, str]], tmp_path: Path
) -> None:
    folder, _, reference = built["static"]
    pumice(folder, "build", "example/recipe.yaml", "-o", f"tar:{tmp_path / 'root.tar'}")
    with tarfile.open(tmp_path / "root.tar") as archive:
        names = {member.name.removeprefix("./") for member in archive}
    assert {"etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Europe/Oslo", "etc/passwd"} <= names
    assert {f"usr/bin/{name}" for name in ("sh", "dash", "bash", "perl", "python3")}.isdisjoint(names)
    config = json.loads(pumice(folder, "inspect", "--format", "json", reference))
    assert "Entrypoint" not in json.dumps(config)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes_its_tests(
    name: str, built: dict[str, tuple[Path, str, str]], tmp_path: Path
) -> None:
    folder, _, _ = built[name]
    shutil.copytree(ROOT / "examples" / name, tmp_path, dirs_exist_ok=True)
    shutil.copy(folder / "example/recipe.lock", tmp_path)
    output = pumice(tmp_path, "test", "recipe.yaml", "--locked", PUMICE_HOME=str(folder / "store"))
    assert output.endswith(" 0 failed\n")


@pytest.mark.parametrize(
    ("name", "arguments", "output"),
    [
        ("busybox", ["-c", "echo hello; ls /etc/passwd"], "hello\n/etc/passwd\n"),
        ("postgres-client", [], "psql (PostgreSQL) 15"),
        ("go-toolchain", [], "hello from go1.19"),
    ],
)
def test_programs_of_examples_run(
    name: str, arguments: list[str], output: str, built: dict[str, tuple[Path, str, str]]
) -> None:
    folder, _, reference = built[name]
    assert pumice(folder, "run", reference, *arguments).startswith(output)


@pytest.mark.parametrize(
    ("name", "page_text"), [("hello-python", "Hello from a small image"), ("nginx", "Served by nginx")]
)
def test_servers_of_examples_respond(
    name: str, page_text: str, built: dict[str, tuple[Path, str, str]]
) -> None:
    folder, _, reference = built[name]
    with ports.reserve() as free_port:
        port, arguments = free_port, [str(free_port)]
        if name == "nginx":
            listen_directive = re.search(r"listen (\d+);", (folder / "example" / "nginx.conf").read_text())
            assert listen_directive
            port, arguments = int(listen_directive[1]), []
        assert page_text in serve(folder, [reference, *arguments], port)


def serve(folder: Path, arguments: list[str], port: int) -> str:
    """Return the page of a server in a container."""
    server = subprocess.Popen(
        [sys.executable, "-m", "pumice", "run", *arguments],
        cwd=folder,
        env={**os.environ, "PUMICE_HOME": str(folder / "store")},
        stdin=subprocess.DEVNULL,
    )
    try:
        page = fetch(server, port)
    finally:
        server.terminate()
        server.wait(waiting.PATIENCE_SECONDS)
    assert server.returncode in {0, -15, 143}
    return page


def fetch(server: subprocess.Popen[bytes], port: int) -> str:
    """Return the page of ``server`` as soon as the server answers."""
    waiting.for_server(port, server)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=waiting.PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
