"""``--format`` and ``--json`` of every command that has them, on a real image."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema_rs
import pytest

from pumice.cli.display.results import RESULTS
from pumice.cli.main import main
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.records import Pod
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.store.home import Home
from tests.support import registry as support
from tests.support import trust_world, websites
from tests.support.registry import Registry
from tests.support.slices import release_file, write_release
from tests.support.trust_world import TrustWorld
from tests.support.websites import Website
from tools import schemas

Place = Mapping[str, str]
"""What stands in the command lines for an address or a file, and what it is."""

HOST = "HOST"
"""Stands for the registry."""
KEY = ("--key", "release.pub")
MIRROR = "/MIRROR"
COMMAND_LINES = {
    "catalog": ["catalog", HOST],
    "check": ["check", "oci:out"],
    "diff": ["diff", "example.com/hello:1.0", "oci:out"],
    "discover": ["discover", "127.0.0.1/hello:1.0", "--ca", "/CA", "--port", "/PORT"],
    "events": ["events", "--stream=false"],
    "explain": ["explain", "recipe.yaml", "hello"],
    "explain slice": ["explain", "sliced.yaml", "hello_config"],
    "files": ["files", "oci:out"],
    "files by-package": ["files", "oci:out", "--by-package"],
    "history": ["history", "oci:out"],
    "images": ["images"],
    "inspect": ["inspect", "oci:out"],
    "inspect pod": ["inspect", "box"],
    "key list": ["key", "list"],
    "licenses": ["licenses", "oci:out"],
    "port": ["port", "box"],
    "ps": ["ps", "--all"],
    "lock": ["lock", "recipe.yaml"],
    "reproduce": ["reproduce", "oci:out"],
    "resolve": ["resolve", "oci:out"],
    "sbom": ["sbom", "oci:out"],
    "show": ["show", "recipe.yaml"],
    "slice draft": ["slice", "draft", "hello", "--release", "./release", "--mirror", f"file:{MIRROR}"],
    "slice diff": ["slice", "diff", "./sliced", "./sliced"],
    "slice find": ["slice", "find", "openssl"],
    "slice list": ["slice", "list"],
    "slice missing": ["slice", "missing", "recipe.yaml"],
    "slim": ["slim", "oci:out", "--insecure-options=image"],
    "status": ["status", "box"],
    "stats": ["stats", "box", "--no-stream"],
    "store path": ["store", "path"],
    "store verify": ["store", "verify"],
    "tags": ["tags", f"{HOST}/hello"],
    "test": ["test", "oci:out", "--file", "tests.yaml"],
    "top": ["top", "box"],
    "tree": ["tree", "oci:out"],
    "trust list": ["trust", "list"],
    "trust why": ["trust", "why", "oci:out"],
    "volume inspect": ["volume", "inspect", "data"],
    "volume ls": ["volume", "ls"],
    "verify": ["verify", "oci:out", *KEY],
    "version": ["version"],
}

HELLO_SLICES = "package: hello\nslices: {config: {contents: {/etc/hello.conf: }}}\n"

_DURATION = re.compile(r'(?P<name>"seconds": ?)[-+.e0-9]+')
"""How long a test of an image took, which differs from run to run."""

_CACHED = re.compile(r'"\w*cached": ?(?:true|false)')
"""Whether a page was in the cache, which it is after the first run."""

MAY_BE_EMPTY = frozenset({"check", "port", "top"})
"""Commands that print an empty list for an image without problems, or a pod without processes or ports."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    """A signed image in a layout and in the store."""
    world = trust_world.signed_world(tmp_path_factory.mktemp("world"))
    world.trust("release.pub", "example.com")
    world.must("key", "generate")
    (world.project / "tests.yaml").write_text(
        "tests: [{name: configuration, file: {path: /etc/hello.conf, content: {contains: greeting}}}]"
    )
    with Home(world.root / "store") as home:
        pod = Pod(
            id=pod_store.new_id(),
            name="box",
            image="example.com/hello:1.0",
            digest="sha256:" + "0" * 64,
            created="2026-01-02T03:04:05.000000Z",
            command=("hello",),
        )
        # The lock that is held, and the process that holds it, make it a pod that runs.
        plan = encode_arguments(["--root", "/"])
        pod_store.create_pod(home, pod_store.PodContent(pod, {pod_store.PLAN: plan}))
        fields = {
            "supervisor": os.getpid(),
            "supervisor_start": 1,
            "sandbox": os.getpid(),
            "sandbox_start": 1,
        }
        record = {**fields, "boot": "", "time": "2026-01-02T03:04:06.000000Z"}
        (home.root / "pods" / pod.id / "started").write_text(json.dumps(record))
    write_release(world.project / "release", {}, release_file("v3"))
    write_release(world.project / "sliced", {"hello": HELLO_SLICES})
    world.write("slices: {release: ./sliced}\n", packages="[hello_config]", name="sliced.yaml")
    world.must("volume", "create", "data", "--label", "kind=test")
    world.must("copy", "oci:out", "store:example.com/hello:1.0", "--insecure-options=image")
    return world


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Website]:
    """A web site with a discovery page."""
    folder = tmp_path_factory.mktemp("site")
    with websites.serving(folder / "www", folder / "nginx") as site:
        content = "127.0.0.1 https://a.example/{name}-{version}.{ext}"
        (site.root / "index.html").write_text(f"<meta name='ac-discovery' content='{content}'>")
        yield site


@pytest.fixture
def place(world: TrustWorld, site: Website, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A registry with a repository, and a web site; the working directory is that of the recipe."""
    monkeypatch.setenv("PUMICE_HOME", str(world.root / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world.config))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(world.root / "auth.json"))
    monkeypatch.chdir(world.project)
    registry = Registry()
    registry.tags["hello"] = {"1.0": "x", "2.0": "x"}
    with support.serving(registry) as host:
        yield {
            HOST: host,
            MIRROR: str(Path("../mirror").resolve()),
            "/CA": str(site.ca),
            "/PORT": str(site.port),
        }


def command_line(place: Place, command: str) -> list[str]:
    """Return the arguments of a command with the places where things are."""
    arguments = COMMAND_LINES[command]
    for name, value in place.items():
        arguments = [argument.replace(name, value) for argument in arguments]
    return arguments


def run(place: Place, capsys: pytest.CaptureFixture[str], command: str, *options: str) -> str:
    arguments = command_line(place, command)
    capsys.readouterr()
    assert main([*arguments, *options]) == 0
    text = _DURATION.sub(r"\g<name>1.5", capsys.readouterr().out)
    return _CACHED.sub(lambda match: match[0].replace("false", "true"), text)


def test_every_command_with_a_result_is_tried() -> None:
    assert set(COMMAND_LINES) == set(RESULTS)


@pytest.mark.parametrize("command", RESULTS)
def test_the_json_is_that_of_the_schema(
    place: Place, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    text = run(place, capsys, command, "--json")
    assert text.isascii()
    document = json.loads(text)
    schema = json.loads(schemas.schema_path(command).read_text())
    errors = [error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(document)]
    assert errors == []
    assert document or command in MAY_BE_EMPTY, "the example should have something to show"
    assert run(place, capsys, command, "--format", "json") == text
    assert all(str(path).startswith("/") for path in _values(document, "path") if path)
    assert all(re.fullmatch("[0-7]{4}", str(mode)) for mode in _values(document, "mode"))


@pytest.mark.parametrize("command", RESULTS)
def test_a_template_is_applied(place: Place, capsys: pytest.CaptureFixture[str], command: str) -> None:
    document = json.loads(run(place, capsys, command, "--json"))
    rows = document if isinstance(document, list) else [document]
    lines = run(place, capsys, command, "--format", "{{json .}}").splitlines()
    assert [json.loads(line) for line in lines] == rows


@pytest.mark.parametrize("command", RESULTS)
def test_a_format_that_the_command_has_not_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    arguments = command_line(place, command)
    for text in ("jsn", "{{.Nothing}}", "{name}"):
        assert main([*arguments, "--format", text]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "hint: " in err


def _values(document: object, name: str) -> Iterator[object]:
    """Yield every value of a field called ``name``."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == name:
                yield value
            yield from _values(value, name)
    elif isinstance(document, list):
        for item in document:
            yield from _values(item, name)


def test_the_page_of_schemas_names_every_command() -> None:
    assert {path.name for path in schemas.DIRECTORY.iterdir()} == {
        Path(schemas.schema_path(command)).name for command in RESULTS
    }
