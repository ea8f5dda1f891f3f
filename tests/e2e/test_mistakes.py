"""What people type who know docker, podman, crane, cosign, apko or uv: each mistake gets an answer.

An answer is one sentence, and a hint that says what to type. No mistake reaches the network, and none leaves
a file. ``test_worst_inputs`` has input that is malformed; here it is only the wrong one.
"""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images

IMAGE = "example.com/hello:1.0"

MISTAKES: list[tuple[str, int, str, str]] = [
    # Options before the command, and other words for commands
    ("--color always images", 2, "unknown option '--color'", "pumice images --color"),
    ("--debug build", 2, "unknown option '--debug'", "pumice build --debug"),
    ("bild", 2, "unknown command 'bild'", "did you mean 'build'?"),
    ("image ls", 2, "unknown command 'image'", "pumice images"),
    ("image inspect x", 2, "unknown command 'image'", "pumice inspect REF"),
    ("system prune -a", 2, "unknown command 'system'", "pumice gc"),
    ("system df", 2, "unknown command 'system'", "pumice images"),
    ("buildx build .", 2, "unknown command 'buildx'", "pumice build RECIPE"),
    ("compose up", 2, "unknown command 'compose'", "pumice play"),
    ("search nginx", 2, "unknown command 'search'", "pumice tags HOST/NAME"),
    ("info", 2, "unknown command 'info'", "pumice version"),
    ("auth login registry.example", 2, "unknown command 'auth'", "pumice login HOST"),
    ("mutate x", 2, "unknown command 'mutate'", "pumice build --label"),
    ("validate x", 2, "unknown command 'validate'", "pumice verify REF"),
    ("generate-key-pair", 2, "unknown command 'generate-key-pair'", "pumice key generate"),
    ("key generate-key-pair", 2, "unknown action 'generate-key-pair'", "did you mean 'generate'?"),
    ("triangulate x", 2, "unknown command 'triangulate'", "pumice tree REF"),
    ("download sbom x", 2, "unknown command 'download'", "pumice sbom REF"),
    ("verify-attestation x", 2, "unknown command 'verify-attestation'", "--attestation TYPE"),
    ("publish recipe.yaml", 2, "no place to publish to", "pumice build --push"),
    ("show-config recipe.yaml", 2, "unknown command 'show-config'", "pumice show RECIPE"),
    ("add openssl", 2, "unknown command 'add'", "'packages' in the recipe"),
    ("update", 2, "unknown command 'update'", "pumice lock --upgrade"),
    ("manifest inspect x", 2, "'x' is an unexpected argument", "pumice manifest REF"),
    # build
    ("build .", 2, "there is no pumice.yaml or recipe.yaml in this directory", "pumice init"),
    ("build empty", 2, "there is no pumice.yaml or recipe.yaml in 'empty'", "pumice init empty"),
    ("test empty", 2, "there is no pumice.yaml or recipe.yaml in 'empty'", "pumice init empty"),
    ("build -f app/recipe.yaml", 2, "no option '-f'", "pumice build RECIPE"),
    ("build --build-arg A=1 app", 2, "no option '--build-arg'", "--arg NAME=VALUE"),
    ("build --squash app", 2, "no option '--squash'", "layers"),
    ("build --sbom=true app", 2, "no option '--sbom'", "pumice sbom REF"),
    ("build app/recipe.yml", 3, "no such recipe", "did you mean app/recipe.yaml?"),
    ("build app --push=true", 2, "--push takes no value, not 'true'", "write it without a value"),
    ("build app --push=false", 2, "--push takes no value, not 'false'", "leave it out"),
    ("build app -t", 2, "--tag needs a value", "write --tag NAME[:TAG]"),
    (
        "build app -t example.com/Web:1",
        2,
        "invalid repository name 'example.com/Web'",
        "write example.com/web",
    ),
    ("build app -t example.com/web:feature/x", 2, "invalid repository name", "example.com/web:TAG"),
    ("build app --platform", 2, "--platform needs a value", "write --platform PLATFORM"),
    ("build app --platform linux/amd65", 2, "unknown architecture 'amd65'", "did you mean amd64?"),
    ("build app --label web", 2, "--label needs NAME=VALUE, not 'web'", "--label team=web"),
    ("build app --color=blue", 2, "--color cannot be 'blue'", "use one of auto, always, never"),
    ("build app -o out.tar", 2, "destination 'out.tar' has no transport", "write oci-archive:out.tar"),
    ("build https://code.example/app.git", 2, "is not a file", "write the recipe to a file"),
    ("build -", 2, "'-' is not a file", "write the recipe to a file"),
    ("build app --key k", 2, "no option '--key'", "pass --sign KEY"),
    ("build app --sign notes.pub", 8, "the file is a public key", "a file NAME.key"),
    ("build app --sign k", 7, "no such key 'k'", "pumice key generate"),
    ("build app --format docker", 2, "no option '--format'", "docker-archive:FILE"),
    ("build app --arg V=1", 2, "the recipe has no argument 'V'", "'args: {V: default}'"),
    ("build app --arch x86_65", 2, "unknown architecture 'x86_65'", "did you mean amd64?"),
    ("cut --root out --arch amd65 a_b", 2, "unknown architecture 'amd65'", "did you mean amd64?"),
    ("lock --update app", 2, "no option '--update'", "pass --upgrade"),
    # run
    ("run", 2, "REF is missing", "usage: pumice run [OPTION...] REF"),
    ("run app", 2, "a directory with a recipe", "pumice build app"),
    ("run empty", 2, "but a directory with no image", "oci-layout"),
    ("run notes.txt", 2, "'notes.txt' is not in the local store, but a file", "pumice images"),
    ("run --gpus", 2, "'pumice run' has no option '--gpus'", "--device"),
    ("run --env-file note.txt x", 2, "cannot read the environment file", "did you mean notes.txt?"),
    ("run --env-file nothing x", 2, "cannot read the environment file", "check the path"),
    ("run -v ./notes.txt:/x:rw,foo x", 2, "unknown option 'foo'", "nocopy"),
    ("run -v . x", 2, "'.' is not a volume", "write SRC:DST"),
    ("run -p abc x", 2, "'abc' is not a port number", "8080:80"),
    ("run --memory lots x", 2, "'lots' is not a size", "512m"),
    ("run --network container:web x", 2, "'web' in 'container:web' is not an address", "pumice run A --- B"),
    ("run --link db x", 2, "no option '--link'", "--network-alias"),
    ("run --stage1 docker x", 2, "--stage1 cannot be 'docker'", "use one of builtin"),
    ("run --name web! x", 2, "'web!' is not a name for a pod", "use letters"),
    ("run --tls-verify=nope x", 2, "--tls-verify cannot be 'nope'", "use one of true, false"),
    ("run hello -- sh", 10, "hello is not in the local store", f"did you mean {IMAGE}?"),
    # the store
    ("images --filter dangling=true", 2, "no option '--filter'", "pumice images NAME"),
    ("images nothing", 10, "no image 'nothing' in the store", "pumice tags HOST/NAME"),
    ("rmi --all", 2, "REF is missing", "usage: pumice rm [OPTION...] REF..."),
    ("rm -f nothing", 10, "nothing is not in the local store", "pumice images"),
    (f"tag {IMAGE} UPPER", 2, "invalid image name", "lower case"),
    (f"tag {IMAGE} web:a/b", 2, "invalid image name", "write web:TAG"),
    (f"copy {IMAGE} store:UPPER", 2, "invalid image name 'UPPER'", "lower case"),
    (f"copy {IMAGE} backup", 2, "destination 'backup' has no transport", "store:backup"),
    ("load notes.txt", 2, "'notes.txt' is a file, not a name for the image", "pumice load -i notes.txt"),
    ("load -i note.txt", 10, "the file does not exist", "did you mean notes.txt?"),
    ("inspect oci:ap", 10, "ap: no such directory", "did you mean app?"),
    (f"inspect {IMAGE} --format {{{{.Id}}}}", 2, "unknown field .Id", "the fields are .Digest"),
    ("gc --keep-cache forever", 2, "--keep-cache needs a number, not 'forever'", "--keep-cache 30"),
    ("prune -a", 2, "'pumice gc' has no option '-a'", "did you mean '--all'?"),
    ("schema foo", 2, "'foo' is not a command with --json", "use one of check, catalog"),
    (f"sbom {IMAGE} --format spdx-json", 2, "--format cannot be 'spdx-json'", "did you mean 'spdx'?"),
    ("images -q", 2, "no option '-q'", "--format '{{.ID}}'"),
    (f"manifest {IMAGE} --format json", 2, "no option '--format'", "the manifest is JSON"),
    ("gc --all --keep-cache 3", 2, "cannot use --keep-cache with --all", "leave out one of them"),
    ("blob sha256:1234", 2, "'sha256:1234' is not a whole digest", "LOCATION@sha256:HEX"),
    ("build ''", 2, "the name of the recipe is empty", "leave it out"),
    ("aci extract some.aci ''", 2, "DIR needs a path, not ''", "FILE DIR"),
    (f"verify {IMAGE} --key ''", 7, "no such key ''", "pumice key list"),
    ("pause web", 10, "there is no pod 'web'", "pumice ps --all"),
    ("container ls", 2, "unknown command 'container'", "pumice ps"),
    ("restart web", 2, "unknown command 'restart'", "pumice stop POD"),
    (f"sbom {IMAGE} -o spdx", 2, "no option '-o'", "pass --format"),
    # registries
    ("login", 2, "HOST[/PATH] is missing", "usage: pumice login [OPTION...] HOST[/PATH]"),
    ("login http://registry.example", 2, "is a URL: expected a registry", "write registry.example"),
    ("login -p secret registry.example", 2, "no option '-p'", "--password-stdin"),
    ("catalog", 2, "HOST is missing", "usage: pumice catalog [OPTION...] HOST"),
    ("catalog localhost:5000/team/web", 2, "is a repository: expected a registry", "write localhost:5000"),
    ("catalog hello", 2, "'hello' is not a registry", "write HOST or HOST:PORT"),
    ("catalog hello:1.0", 2, "'hello:1.0' is not a registry", "write HOST or HOST:PORT"),
    ("catalog oci:layout", 2, "'oci:layout' is not in a registry: expected a registry", "HOST:PORT"),
    ("catalog https://localhost:5000", 2, "is a URL: expected a registry", "write localhost:5000"),
    ("tags localhost:5000/web:1.0", 2, "invalid repository name", "localhost:5000/web"),
    ("tags localhost:5000", 2, "names no repository", "localhost:5000/NAME"),
    ("pull localhost:5000/web:a/b", 2, "invalid repository name", "write localhost:5000/web:TAG"),
    ("pull localhost:5000/Web", 2, "invalid repository name", "lower case"),
    (f"push {IMAGE} --all-tags", 2, "no option '--all-tags'", "pumice tags"),
    (f"push {IMAGE} localhost:5000/web --key k", 2, "no option '--key'", "pass --sign KEY"),
    (f"push {IMAGE} localhost:5000/web --sign k", 7, "no such key 'k'", "pumice key generate"),
    (f"push {IMAGE} localhost:5000/Web", 2, "invalid repository name", "write localhost:5000/web"),
    (f"push {IMAGE} http://localhost:5000/web", 2, "is a URL", "write localhost:5000/web"),
    (f"push {IMAGE} oci:web", 2, "is not in a registry", "pumice copy REF oci:web"),
    (f"push {IMAGE} localhost:5000", 2, "names no repository", "localhost:5000/NAME"),
    (f"push {IMAGE} localhost:5000/web --authfile nothing", 2, "no such file with logins", "--authfile"),
    (f"push -t 1 {IMAGE} localhost:5000/web", 2, "no option '-t'", "HOST/NAME:TAG"),
    (f"push --format docker {IMAGE} localhost:5000/web", 2, "no option '--format'", "drop the option"),
    ("push --all localhost:5000/web", 2, "no option '--all'", "pumice images"),
    (f"push {IMAGE} localhost:5000/web 2", 2, "'2' is an unexpected argument", "usage: pumice push"),
    ("push app localhost:5000/web", 2, "a directory with a recipe", "pumice build app"),
    ("push hello", 2, "'hello' does not name a registry", "pumice push REF HOST/NAME:TAG"),
    ("serve --port 5000", 2, "no option '--port'", "--listen HOST:PORT"),
    # App Container
    ("aci inspect x.aci", 2, "unknown action 'inspect'", "cat-manifest"),
    (
        "aci render x.aci --dependency oci:base dir:x",
        2,
        "--dependency takes the file",
        "pumice convert oci:base",
    ),
    ("aci render x.aci --dependency aci:base dir:x", 2, "--dependency takes a file", "write base"),
    ("play --aci docker://localhost:5000/web x", 2, "--aci takes the file", "pumice convert docker://"),
    ("play --aci aci:web.aci x", 2, "--aci takes a file", "write web.aci"),
    ("run web.aci", 2, "the name of an archive", "write aci:web.aci"),
    (f"convert {IMAGE} hello.aci", 2, "destination 'hello.aci' has no transport", "aci:hello.aci"),
    (f"convert {IMAGE} oci-archive:x.tar", 2, "neither image is an App Container image", "write aci:FILE"),
    ("aci encrypt x.aci", 2, "NEW is missing", "usage: pumice aci encrypt"),
    # signatures
    (f"sign {IMAGE}", 2, "--key is missing", "pass --key KEY, --keyless in a CI job"),
    (f"sign --yes --key k {IMAGE}", 2, "no option '--yes'", "drop the option"),
    (f"sign --sign k {IMAGE}", 2, "no option '--sign'", "pass --key KEY"),
    (f"sign --key notes.pub {IMAGE}", 8, "the file is a public key", "a file NAME.key"),
    (f"sign --key notes.txt {IMAGE}", 8, "the file is not a private key", "a file NAME.key"),
    (f"sign --key ./k {IMAGE}", 7, "no such key file", "check the path"),
    (f"sign --key keys/k {IMAGE}", 7, "no such key file", "check the directory 'keys'"),
    (f"sign --key awskms:///k {IMAGE}", 7, "no such key file", "write the key to a file"),
    (f"sign --key env://COSIGN_KEY {IMAGE}", 7, "no such key file", "write the key to a file"),
    (f"sign -a team=web --key k {IMAGE}", 2, "no option '-a'", "pumice build --annotation"),
    (f"sign --tlog-upload=false --key k {IMAGE}", 2, "no option '--tlog-upload'", "drop the option"),
    (f"sign --identity-token nothing {IMAGE}", 7, "cannot read the identity token", "check the path"),
    (f"sign {IMAGE} k", 2, "'k' is an unexpected argument", "usage: pumice sign"),
    (f"verify --key nothing {IMAGE}", 7, "no such key 'nothing'", "pumice key list"),
    (f"verify --key notes {IMAGE}", 7, "no such key 'notes'", "did you mean notes.pub?"),
    (f"verify --key https://keys.example/k.pub {IMAGE}", 7, "no such key file", "pumice trust add"),
    (f"verify --type spdx {IMAGE}", 2, "no option '--type'", "pass --attestation TYPE"),
    (f"verify --identity ada@example.com {IMAGE}", 2, "--identity needs --issuer URL", "any issuer"),
    (f"verify --issuer https://x.example {IMAGE}", 2, "need --identity", "--identity WHO"),
    (f"verify --policy p {IMAGE}", 2, "--policy needs --attestation", "--attestation TYPE"),
    (f"verify --attestation foo {IMAGE}", 2, "'foo' is not a predicate type", "slsaprovenance1"),
    ("verify app", 2, "a directory with a recipe", "pumice build app"),
    (f"verify {IMAGE} other", 2, "'other' is an unexpected argument", "usage: pumice verify"),
    (f"sign --key cosign.key {IMAGE}", 7, "no such key 'cosign.key'", "pumice key generate"),
    (f"verify {IMAGE} --certificate-identity a", 2, "no option '--certificate-identity'", "--identity WHO"),
    ("trust ls", 2, "unknown action 'ls'", "did you mean 'list'?"),
    ("trust add key.pub", 2, "the key needs a prefix of names", "--root"),
    (f"attest {IMAGE} --type vuln --key k --predicate note.txt", 2, "cannot read", "notes.txt"),
]
"""What a person types, the exit code, and a part of the sentence and of the hint."""

HARMLESS = ["images -a", "images --all", "ls -a", "gc -f", "prune --force", f"rmi -f {IMAGE}", "-v"]
"""What other tools need, and what does no harm here."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a recipe in a folder, an empty folder and a text, and a store with one image."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    directory = tmp_path / "project"
    (directory / "app").mkdir(parents=True)
    (directory / "empty").mkdir()
    recipe = "name: example.com/web\nversion: '1'\nfrom: {debian: bookworm}\npackages: [hello]\n"
    (directory / "app" / "recipe.yaml").write_text(recipe)
    (directory / "notes.txt").write_text("notes\n")
    (directory / "notes.pub").write_text("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name=IMAGE)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a mistake reached the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_every_mistake_says_what_to_type(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(project.rglob("*"))
    for command, code, sentence, hint in MISTAKES:
        capsys.readouterr()
        exit_code = main(shlex.split(command))
        out, err = capsys.readouterr()
        assert (exit_code, out) == (code, ""), (command, err)
        first, _, rest = err.partition("\n")
        assert first.startswith("error: "), (command, err)
        assert sentence in first, (command, err)
        assert rest.startswith("  hint: "), (command, err)
        assert rest.count("\n") == 1, (command, err)
        assert hint in rest, (command, err)
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("command", HARMLESS)
def test_habits_without_harm_are_accepted(
    project: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(shlex.split(command)) == 0, capsys.readouterr().err
    assert project.is_dir()
