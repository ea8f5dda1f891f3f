"""One grammar of references: every command that takes an image, with every mistake that people make.

No mistake may reach the network: a name that goes to a wrong registry by accident tells it what we run.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import handmade, images, locations
from tests.support.handmade import ImageContents, file
from tests.support.registry import Registry

IMAGE = "example.com/hello:1.0"
READERS = {
    "inspect": "inspect {}",
    "files": "files {}",
    "tree": "tree {}",
    "sbom": "sbom {}",
    "licenses": "licenses {}",
    "verify": "verify {}",
    "run": "run {}",
    "reproduce": "reproduce {}",
    "trust why": "trust why {}",
    "diff, first": f"diff {{}} {IMAGE}",
    "diff, second": f"diff {IMAGE} {{}}",
    "copy": "copy {} oci:out",
    "push": "push {} 127.0.0.1:1/x:1",
    "sign": "sign {} --key mine.key",
    "attest": "attest {} --key mine.key --type vuln --predicate predicate.json",
}
"""Commands that read an image from anywhere; ``{}`` is the reference."""
PULLERS = {"pull": "pull {}", "resolve": "resolve {}"}
"""Commands for which a short name means Docker Hub."""
REGISTRY_ONLY = {"push to": f"push {IMAGE} {{}}", "tags": "tags {}", "delete": "delete {}"}
LOGINS = {"login": "login {} -u ada --password-stdin", "logout": "logout {}"}
DESTINATIONS = {"copy to": f"copy {IMAGE} {{}}", "build -o": "build recipe.yaml -o {}"}

FILES = {
    "image.tar": ("is an OCI archive", "write oci-archive:image.tar"),
    "saved.tar": ("is an archive of docker save", "write docker-archive:saved.tar"),
    "absent.tar": ("is the name of an archive", "write oci-archive:absent.tar"),
    "hello.aci": ("is an App Container image", "write aci:hello.aci"),
    "layout": ("is a directory with an OCI layout", "write oci:layout"),
    "./layout": ("is a directory with an OCI layout", "write oci:./layout"),
    "https://registry.invalid/app:1": ("is a URL", "write docker://registry.invalid/app:1"),
}
"""Text that means an image, but lacks its transport: what it is, and what to write."""
OTHER_THINGS = {
    "recipe.yaml": ("is a recipe", "run 'pumice build recipe.yaml' first"),
    "recipe.lock": ("is a lock file", "run 'pumice build RECIPE' first"),
    "docker-daemon:debian:bookworm": (
        "is in docker-daemon: of another program",
        "skopeo copy docker-daemon:debian:bookworm oci:DIR",
    ),
}
HOSTS = ("127.0.0.1:5055", "localhost:5000", "registry.invalid", "[::1]:5000")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what people mistake for images, and a store with one image."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    monkeypatch.chdir(tmp_path)
    image = handmade.image(ImageContents([[file("a")]]))
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name=IMAGE)
        locations.write(image, "oci:layout", version="1", home=home)
        locations.write(image, "oci-archive:image.tar", version="1", home=home)
        locations.write(image, "docker-archive:saved.tar", name="app", version="1", home=home)
        locations.write(image, "aci:hello.aci", name="example.com/app", version="1", home=home)
    Path("recipe.yaml").write_text("name: example.com/x\n")
    Path("recipe.lock").write_text("{}")
    Path("predicate.json").write_text("{}")
    return tmp_path


@pytest.fixture(autouse=True)
def offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that resolves a name or connects, unless it has a registry."""
    if "host" in request.fixturenames:
        return

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a mistake reached the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


Row = tuple[str, str, str, str]
"""A command, the mistake, and the two texts that its message must have."""


def source_rows() -> Iterator[Row]:
    for command in (*READERS.values(), *PULLERS.values()):
        for text, (sentence, hint) in (FILES | OTHER_THINGS).items():
            yield command, text, f"{text!r} {sentence}, not the name of an image", hint
        yield from host_rows(command)
    for command in READERS.values():
        text = "debian:bookworm"
        yield command, text, f"{text} is not in the local store", f"try 'pumice pull {text}'"
    yield "pull {}", f"store:{IMAGE}", "is in the local store already", f"pumice copy store:{IMAGE} store:"


def host_rows(command: str) -> Iterator[Row]:
    for host in HOSTS:
        yield command, host, "names no repository", f"write {host}/NAME[:TAG]"
        yield command, f"docker://{host}", "names no repository", f"write {host}/NAME[:TAG]"


def registry_rows() -> Iterator[Row]:
    for command in (*REGISTRY_ONLY.values(), *LOGINS.values()):
        for text, (sentence, _) in (FILES | OTHER_THINGS).items():
            yield command, text, f"{text!r} {sentence}: ", "write "
        for text in ("oci:layout", "oci-archive:image.tar", "docker-archive:saved.tar", f"store:{IMAGE}"):
            yield command, text, f"{text!r} is not in a registry", "write HOST"
    for command in REGISTRY_ONLY.values():
        yield from host_rows(command)


def destination_rows() -> Iterator[Row]:
    for command in DESTINATIONS.values():
        for text, (_, hint) in FILES.items():
            yield command, text, f"destination {text!r} has no transport", hint
        for text, (sentence, _) in OTHER_THINGS.items():
            yield command, text, f"destination {text!r} {sentence}", "use one of oci:DIR[:TAG]"
        for host in HOSTS:
            hint = f"for that registry, write docker://{host}/NAME[:TAG]"
            yield command, host, f"destination {host!r} has no transport", hint
            yield command, f"docker://{host}", "names no repository", f"write {host}/NAME[:TAG]"
        for text in ("debian:bookworm", "127.0.0.1:1/x:1"):
            yield command, text, f"destination {text!r} has no transport", f"docker://{text}"


def store_rows() -> Iterator[Row]:
    for text in FILES | OTHER_THINGS:
        yield "rm {}", text, "not an image in the local store", "run 'pumice images'"
    for text in ("oci:layout", "docker://registry.invalid/app:1"):
        yield "rm {}", text, f"{text!r} is not in the local store", ""


ROWS = (*source_rows(), *registry_rows(), *destination_rows(), *store_rows())


@pytest.mark.parametrize("command", sorted({row[0] for row in ROWS}))
def test_every_mistake_gets_the_answer_that_a_person_needs(
    project: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    if "--key mine.key" in command:
        assert main(["key", "generate", "--output", "mine"]) == 0
    before = sorted(project.iterdir())
    for text, sentence, hint in [row[1:] for row in ROWS if row[0] == command]:
        capsys.readouterr()
        code = main([word.replace("{}", text) for word in shlex.split(command)])
        out, error = capsys.readouterr()
        assert (code, out) == (10 if "bookworm is not in" in sentence else 2, ""), (text, error)
        assert sentence in error, text
        assert hint in error.partition("\n  hint: ")[2], (text, error)
    assert sorted(project.iterdir()) == before


@pytest.mark.parametrize("verb", ["inspect", "files", "tree", "sbom", "licenses", "resolve"])
def test_a_name_with_a_host_is_looked_for_in_the_store_and_then_in_its_registry(
    host: str, registry: Registry, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert main(["push", IMAGE, f"{host}/team/hello:1.0"]) == 0
    requests = len(registry.log)
    assert main([verb, f"{host}/team/hello:1.0"]) == 0
    assert len(registry.log) > requests
    assert main(["copy", IMAGE, f"store:{host}/team/hello:1.0"]) == 0
    requests = len(registry.log)
    assert main([verb, f"{host}/team/hello:1.0"]) == 0
    assert len(registry.log) == requests
    assert capsys.readouterr().err.count("error") == 0


def test_a_name_that_is_nowhere_says_where_it_was_looked_for(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", f"{host}/nobody/nothing:1"]) != 0
    error = capsys.readouterr().err
    assert "not found in the registry" in error
    assert f"{host}/nobody/nothing:1 is not in the local store either" in error


def test_a_digest_after_a_name_is_found_in_the_store(
    host: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resolve", IMAGE]) == 0
    digest = capsys.readouterr().out.strip()
    requests = len(registry.log)
    assert main(["inspect", f"{host}/team/hello:1.0@{digest}"]) == 0
    assert main(["inspect", f"hello@{digest}"]) == 0
    assert len(registry.log) == requests


def test_pull_takes_layouts_and_archives(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("oci:layout", "oci-archive:image.tar", "docker-archive:saved.tar"):
        assert main(["pull", text, "example.com/pulled:1", "--insecure-options=image"]) == 0
        assert main(["rm", "store:example.com/pulled:1"]) == 0
    capsys.readouterr()
    assert main(["pull", "oci:layout", "--insecure-options=image"]) == 2
    assert "hint: name it: pumice pull oci:layout NAME:VERSION" in capsys.readouterr().err


def test_login_takes_the_transport_of_registries(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["logout", f"docker://{host}"]) == 1
    assert f"not logged in to docker://{host}" in capsys.readouterr().err
