"""No command prints terminal escape sequences from images, registries, files or arguments."""

from __future__ import annotations

import http.server
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from pumice.cli import commands
from pumice.cli import main as cli
from pumice.digest import of
from pumice.formats import cyclonedx, oci, spdx
from pumice.image import referrers
from pumice.image.model import Image
from pumice.image.transports import layout_writer
from pumice.progress import Silent
from pumice.runtime.pods import pod_store
from pumice.runtime.pods.records import Pod
from pumice.store.home import Home
from tests.support import aci, handmade, images, signed_images
from tests.support.handmade import ImageContents, file, folder, symlink

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\x85\u202egnp.exe\u2066\u200f\ufeff\x7f\r"
"""Clears the screen, sets the title, colors by a C1 control, and turns the direction of what follows."""

STATUS = f"""\
Package: tool
Status: install ok installed
Architecture: amd64
Version: 1.0
Source: tool{EVIL.replace(chr(13), "").replace(chr(0x85), "")}
Maintainer: {EVIL.replace(chr(13), "").replace(chr(0x85), "")} <a@example.com>
Description: x

"""


def assert_harmless(text: str) -> None:
    control_characters = sorted(
        {character for character in text if not character.isprintable() and character not in "\n\t"}
    )
    assert control_characters == [], text[:500]


class Blobs(handmade.MemoryBlobs):
    """Blobs in memory with the writer of a store."""

    def writer(self) -> Any:
        blobs = self

        class Writer:
            def __init__(self) -> None:
                self.data = bytearray()

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *exc: object) -> None:
                pass

            def write(self, data: bytes) -> int:
                self.data += data
                return len(data)

            def commit(self, expected: str | None = None) -> str:
                del expected
                return blobs.put(bytes(self.data))

        return Writer()


def hostile_image() -> Any:
    """Return an image with escape sequences in every text field."""
    text = EVIL.encode()
    layer = [
        folder(""),
        file(f"file{EVIL}", b"x"),
        file(f"{EVIL}/deep", b"x"),
        symlink("link", EVIL),
        file("etc/passwd", b"root:x:0:0:" + text.replace(b"\r", b"") + b":/:/bin/sh\n"),
        file("etc/os-release", b'ID=debian\nVERSION_ID="' + text + b'"\nPRETTY_NAME="' + text + b'"\n'),
        file("usr/share/doc/tool/copyright", b"License: " + text + b"\n " + text + b"\n"),
        file("var/lib/dpkg/status", STATUS.encode()),
        file("var/lib/dpkg/info/tool.list", b"/.\n/file" + text + b"\n"),
    ]
    run = oci.RunConfig(
        user=EVIL,
        env=(f"A={EVIL}", f"{EVIL}=b"),
        entrypoint=(EVIL,),
        cmd=(EVIL,),
        labels={EVIL: EVIL},
        working_dir=f"/{EVIL}",
        stop_signal=EVIL,
        volumes={f"/{EVIL}": oci.Empty()},
    )
    annotations = {
        EVIL: EVIL,
        "org.opencontainers.image.title": EVIL,
        "org.opencontainers.image.version": EVIL,
    }
    blobs = Blobs()
    image = handmade.image(ImageContents([layer], run=run, annotations=annotations, comments=[EVIL]), blobs)
    artifacts = []
    for kind in (spdx.MEDIA_TYPE, cyclonedx.MEDIA_TYPE):
        document = json.dumps({"name": EVIL, "packages": [{"name": EVIL}]}, ensure_ascii=False).encode()
        about = {oci.EVIDENCE: EVIL, EVIL: EVIL}
        artifacts.append(
            referrers.put_artifact(image.root, document, kind, cast("Any", blobs), annotations=about)
        )
    return Image(image.root, blobs, lambda subject: tuple(artifacts) if subject == image.root.digest else ())


class Liar(http.server.BaseHTTPRequestHandler):
    """A registry that puts escape sequences into every text of its responses."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(
            {"errors": [{"code": EVIL, "message": EVIL}], "tags": ["ok", EVIL], "name": EVIL},
            ensure_ascii=False,
        ).encode()
        self.send_response(200 if "tags/list" in self.path else 400)
        self.send_header(
            "Warning", '299 - "' + EVIL.replace("\r", "").encode("utf-8").decode("latin-1") + '"'
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that http.server calls


@contextmanager
def lying() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hostile_folder(hostile_template: Path, tmp_path: Path) -> Path:
    """Return a directory of its own for a test, because some commands remove images."""
    return Path(shutil.copytree(hostile_template, tmp_path / "hostile", symlinks=True))


@pytest.fixture(scope="module")
def hostile_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a store, hostile layouts, recipes and keys."""
    root = tmp_path_factory.mktemp("hostile")
    image = hostile_image()
    layout_writer.write_layout(image, root / "evil", "1.0", records=None, progress=Silent())
    layout_writer.write_layout(image, root / f"dir{EVIL}", "1.0", records=None, progress=Silent())
    signed_images.folder(root / "plain", signed_images.image("example.com/plain:1.0"))
    signed_images.sign_folder(root / "plain", 0)
    with Home(root / "store", environ={}) as home:
        images.make(home, [{f"etc/{EVIL}": EVIL}], name="example.com/hello:1.0")
        with home.blobs.writer() as writer:
            writer.write(EVIL.encode())
            writer.commit(of(EVIL.encode()))
        pod = Pod(
            id=pod_store.new_id(),
            name="evil",
            image=EVIL,
            digest=of(b""),
            created="2026-01-02T03:04:05.000000Z",
            command=(EVIL,),
            labels={EVIL: EVIL},
        )
        os.close(pod_store.create_pod(home, pod_store.PodContent(pod, {}))[0])
    (root / "recipe.yaml").write_text(
        'name: example.com/x\nversion: "1.0"\nfrom: {debian: bookworm}\n'
        f'packages: ["{_yaml(EVIL)}"]\n"{_yaml(EVIL)}": 1\n'
    )
    head = f'apiVersion: v1\nkind: Pod\nmetadata: {{name: "{_yaml(EVIL)}"}}\n'
    spec = f'spec: {{"{_yaml(EVIL)}": 1, containers: [{{name: a, image: "{_yaml(EVIL)}"}}]}}\n'
    (root / "pod.yaml").write_text(head + spec)
    (root / "compose.yaml").write_text(
        f'services: {{a: {{image: "{_yaml(EVIL)}", "{_yaml(EVIL)}": "{_yaml(EVIL)}"}}}}\n'
    )
    (root / "text").write_text(EVIL)
    write_app_container(root)
    (root / f"key{EVIL}.pub").write_text(EVIL)
    return root


def write_app_container(root: Path) -> None:
    """Write an App Container image and pod manifests with escape sequences in every text field."""
    app = {
        "exec": [EVIL],
        "user": EVIL,
        "group": EVIL,
        "workingDirectory": f"/{EVIL}",
        "environment": [{"name": "A", "value": EVIL}],
        "isolators": [{"name": EVIL, "value": {EVIL: EVIL}}],
        "mountPoints": [{"name": "a", "path": f"/{EVIL}"}],
        "userAnnotations": {EVIL: EVIL, "dev.pumice.oci.config.Labels": EVIL},
        "userLabels": {EVIL: EVIL},
        EVIL: EVIL,
    }
    labels = [{"name": "version", "value": EVIL}, {"name": "os", "value": "linux"}]
    annotations = [{"name": "example.com/a", "value": EVIL}, {"name": "authors", "value": EVIL}]
    manifest = {"app": app, "labels": labels, "annotations": annotations, EVIL: EVIL}
    items = [folder(""), file(f"file{EVIL}", b"x"), symlink("link", EVIL)]
    image_id = aci.image(root / "evil.aci", items, name="example.com/evil", **manifest)
    runtime_app = {"name": "a", "image": {"id": image_id}, EVIL: EVIL, "app": app}
    pod = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [runtime_app], EVIL: EVIL}
    (root / "apps.json").write_text(json.dumps(pod))
    (root / "manifest").write_text(json.dumps({**pod, "apps": [{"name": EVIL}]}))


def _yaml(text: str) -> str:
    return "".join(f"\\U{ord(character):08x}" for character in text)


REFERENCES = (
    "oci:evil",
    f"oci:dir{EVIL}",
    "oci:plain",
    "aci:evil.aci",
    "example.com/hello:1.0",
    EVIL,
    f"oci:{EVIL}",
    f"docker://{EVIL}",
)

ON_IMAGES: dict[str, list[list[str]]] = {
    "inspect": [[], ["--json"]],
    "files": [[], ["--json"], ["--tree"], [EVIL]],
    "tree": [[], ["--json"]],
    "check": [[], ["--json"], ["--format", "{{.Message}}"]],
    "test": [[], ["--file", "text"]],
    "history": [[], ["--json"], ["--no-trunc"], ["--format", "{{.CreatedBy}}"]],
    "config": [[]],
    "manifest": [[]],
    "export": [["-o", "-"], ["-o", f"missing/{EVIL}"]],
    "save": [["-o", f"missing/{EVIL}"]],
    "tag": [[EVIL], ["docker://HOST/a:1"]],
    "sbom": [
        [],
        ["--format", "cyclonedx"],
        ["--format", "table"],
        ["--scan"],
        ["--scan", "--format", "cyclonedx"],
    ],
    "licenses": [[], ["--json"], ["--texts"], ["--forbid", EVIL]],
    "diff": [["oci:plain"], ["oci:evil", "--json"]],
    "verify": [[], ["--json"], ["--key", f"key{EVIL}.pub"], ["--as", EVIL]],
    "resolve": [[]],
    "reproduce": [[]],
    "run": [[], ["--", EVIL]],
    "rm": [[]],
    "sign": [["--key", "text"], ["--key", EVIL]],
    "attest": [["--type", EVIL, "--predicate", "text", "--key", EVIL]],
    "pull": [[]],
    "push": [["docker://HOST/a:1"]],
    "copy": [["oci:copied"], ["docker://HOST/a:1"], [EVIL]],
    "convert": [["aci:out.aci"], [f"aci:{EVIL}", "--name", EVIL]],
    "explain": [[EVIL]],
    "slim": [[], ["--json"], ["--why", EVIL], ["--output", EVIL]],
    "publish": [["--oci", "published"], ["--oci", EVIL], ["--oci", "published", "--name", EVIL]],
}
"""Verbs that take an image, and what else to give them."""

OTHERS: dict[str, list[list[str]]] = {
    "init": [[EVIL + ".yaml"], ["text/x"]],
    "show": [["recipe.yaml"], ["text"], [EVIL]],
    "schema": [[], [EVIL]],
    "lock": [["recipe.yaml"], ["text"], [EVIL]],
    "build": [["recipe.yaml"], ["text"], [EVIL], ["recipe.yaml", "-o", EVIL]],
    "explain": [["recipe.yaml", EVIL], ["text", EVIL]],
    "images": [[], ["--json"], [EVIL]],
    "play": [
        ["--insecure-options=image", "--aci", "evil.aci", "apps.json"],
        ["--aci", EVIL, "apps.json"],
        ["manifest"],
        ["recipe.yaml"],
        ["text"],
        [EVIL],
        ["pod.yaml"],
        ["compose.yaml"],
    ],
    "ps": [["--all"], ["--all", "--json"], ["--filter", EVIL], ["--filter", f"name={EVIL}"]],
    "status": [["evil"], ["evil", "--json"], [EVIL]],
    "logs": [[EVIL], ["evil", "--since", EVIL]],
    "exec": [["evil", EVIL], [EVIL, EVIL]],
    "stop": [["evil"], [EVIL]],
    "kill": [["evil"], ["evil", "--signal", EVIL], [EVIL]],
    "pause": [["evil"], [EVIL], ["evil", "--app", EVIL]],
    "unpause": [["evil"], [EVIL], ["evil", "--app", EVIL]],
    "wait": [[EVIL]],
    "top": [["evil"], [EVIL]],
    "generate": [["systemd", "evil"], ["kube", "evil"], ["kube", EVIL], ["systemd", EVIL], [EVIL]],
    "stats": [["evil", "--no-stream"], [EVIL]],
    "port": [["evil"], [EVIL], ["evil", EVIL]],
    "events": [["--stream=false"], ["--stream=false", "--json"], ["--filter", EVIL], ["--since", EVIL]],
    "commit": [["evil", "a:1"], ["evil", EVIL], ["evil", "a:1", "--change", EVIL], [EVIL, "a:1"]],
    "prepare": [
        [EVIL],
        ["--insecure-options=image", "aci:evil.aci"],
        [f"aci:{EVIL}"],
        ["--name", EVIL, "oci:evil"],
    ],
    "run-prepared": [["evil"], [EVIL]],
    "cp": [["evil:/etc/passwd", "-"], [EVIL, "evil:/tmp"], [f"evil:{EVIL}", "x"], [EVIL, EVIL]],
    "volume": [["ls"], ["inspect", EVIL], ["create", EVIL], ["rm", EVIL], ["ls", "--filter", EVIL], [EVIL]],
    "identity": [
        ["issuer"],
        ["issuer", EVIL],
        ["keys"],
        ["token", "evil", "--audience", EVIL],
        ["token", EVIL, "--audience", "a"],
        ["verify", "--audience", "a", "--issuer", EVIL],
        ["verify", "--audience", "a", "--issuer", "text"],
        ["verify", "--audience", "a", "--require", EVIL],
        ["verify", "--audience", "a", "--listen", EVIL],
    ],
    "metadata-service": [["--listen", EVIL], ["--idle-exit", EVIL], [EVIL]],
    "key": [["list"], ["import", "text", EVIL], ["export", EVIL], [EVIL], ["export", f"key{EVIL}.pub"]],
    "cut": [
        ["--root", EVIL],
        ["--root", "root", EVIL],
        ["--root", "root", "openssl_bins", "--release", EVIL],
        ["--root", "root", "openssl_bins", "--mirror", EVIL],
        ["--root", "root", "openssl_bins", "--arch", EVIL],
    ],
    "slice": [
        ["list", EVIL],
        ["find", EVIL],
        ["info", EVIL],
        ["check", EVIL],
        ["check", "--release", EVIL],
        ["draft", EVIL],
        ["draft", "hello", "--mirror", EVIL],
        ["draft", "hello", "-o", EVIL],
        ["draft", "hello", "-o", EVIL, "--update"],
        ["list", "--overlay", EVIL],
        [EVIL],
    ],
    "trust": [
        ["list"],
        ["add", "--root", "text"],
        ["add", "--prefix", EVIL, f"key{EVIL}.pub"],
        ["remove", EVIL],
        ["why", "oci:evil"],
        ["mirror", EVIL, EVIL],
        ["revoke", EVIL, "--reason", EVIL],
        [EVIL],
    ],
    "aci": [
        ["validate", "text", EVIL],
        ["validate", "evil.aci"],
        ["validate", "--type", "manifest", "manifest"],
        ["extract", "evil.aci", "extracted"],
        ["render", "evil.aci", "dir:rendered"],
        ["render", "text", "dir:x", "--dependency", EVIL],
        ["render", "evil.aci", "dir:x", "--dependency", f"oci:{EVIL}"],
        ["patch-manifest", "--exec", EVIL, "evil.aci", "new.aci"],
        ["patch-manifest", "--isolators", EVIL, "evil.aci", "new.aci"],
        ["encrypt", "--passphrase-file", "text", EVIL, "x"],
        ["encrypt", "--passphrase-file", EVIL, "evil.aci", "x"],
        ["decrypt", "--passphrase-file", "text", EVIL, "x"],
        ["cat-manifest", EVIL],
        ["patch-manifest", "--name", EVIL, "text", "new"],
        ["build", EVIL, "x.aci"],
        ["extract", "text", EVIL],
        ["render", "text", EVIL],
        [EVIL],
    ],
    "convert": [["aci:text", "oci:x"], [f"aci:{EVIL}", EVIL]],
    "tags": [["HOST/a"], [EVIL]],
    "tag": [["docker://HOST/a:1", "docker://HOST/a:2"]],
    "untag": [[EVIL], ["example.com/hello:1.0", EVIL]],
    "load": [["-i", "text"], ["-i", EVIL]],
    "blob": [[of(EVIL.encode())], [EVIL], [f"docker://HOST/a@{of(b'')}"]],
    "catalog": [["HOST"], [EVIL]],
    "version": [[], [EVIL]],
    "resolve": [["docker://HOST/a:1"]],
    "pull": [["HOST/a:1"], ["docker://HOST/a:1"]],
    "inspect": [["docker://HOST/a:1"], ["evil"], ["evil", "--json"], ["--type", "pod", EVIL]],
    "delete": [["HOST/a:1"], [EVIL]],
    "login": [["HOST", "--username", EVIL], [EVIL]],
    "logout": [["HOST"], [EVIL]],
    "gc": [[], [EVIL]],
    "store": [["verify"], ["path"], [EVIL]],
    "serve": [
        ["--check", "--root", EVIL],
        ["--check", "--root", "."],
        ["--require-signed", EVIL],
        ["--htpasswd", "text"],
        ["--access", "text"],
        ["--listen", EVIL],
        ["--proxy", EVIL],
        ["--identity-issuer", EVIL, "--identity-audience", EVIL, "--identities", EVIL],
        ["--identity-issuer", "text", "--identity-audience", EVIL, "--identities", "text"],
    ],
    "attach": [[EVIL], ["evil", "--app", EVIL], ["evil", "--detach-keys", EVIL]],
    "rename": [["evil", EVIL], [EVIL, "other"]],
    "discover": [[EVIL], [f"example.com/{EVIL}"], [f"127.0.0.1/a,{EVIL}=b", "--port", "1"]],
    "fetch": [[EVIL], [f"oci:{EVIL}"], ["docker://HOST/a:1"]],
    "publish": [["--appc", EVIL, "--url", EVIL], ["--oci", EVIL], [EVIL]],
    "seed": [[f"no{EVIL}"], ["text", "--tracker", EVIL], ["text", "--announce-ip", EVIL]],
    "completion": [["bash"], [EVIL]],
    "rm": [[EVIL]],
    "run": [[EVIL]],
}

EXACT_IN_PIPES = ("init", "blob", "config", "export", "manifest")
"""Verbs whose output scripts read as it is, so that it is escaped only on a terminal."""

COMMANDS = [
    *(
        [verb, reference, *more]
        for verb, rest in ON_IMAGES.items()
        for more in rest
        for reference in REFERENCES
    ),
    *([verb, *more] for verb, rest in OTHERS.items() for more in rest),
    *([verb, f"--{EVIL}"] for verb in commands.COMMANDS),
]


def test_every_verb_is_tried() -> None:
    assert {*ON_IMAGES, *OTHERS} == set(commands.COMMANDS)


class Terminal(io.TextIOWrapper):
    """A terminal that records what is written to it."""

    def __init__(self) -> None:
        self._data = io.BytesIO()
        super().__init__(self._data, encoding="utf-8", errors="backslashreplace", write_through=True)

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        return self._data.getvalue().decode()


@pytest.mark.parametrize("verb", sorted(commands.COMMANDS))
@pytest.mark.parametrize("how", ["pipe", "terminal", "traceback"])
def test_no_command_prints_terminal_escape_sequences(
    hostile_folder: Path,
    verb: str,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(hostile_folder)
    for name, value in (
        ("PUMICE_HOME", "store"),
        ("XDG_CONFIG_HOME", "config"),
        ("REGISTRY_AUTH_FILE", "auth"),
    ):
        monkeypatch.setenv(name, str(hostile_folder / value))
    monkeypatch.setenv("PUMICE_DEBUG", "1" if how == "traceback" else "")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with lying() as host:
        for command in COMMANDS:
            if command[0] != verb or (how != "terminal" and verb in EXACT_IN_PIPES):
                continue
            words = [word.replace("HOST", host) for word in command]
            for text in _printed(words, monkeypatch, capsys, terminal=how == "terminal"):
                assert_harmless(text)


def _printed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool
) -> tuple[str, str]:
    out, err = Terminal(), Terminal()
    with monkeypatch.context() as patch, suppress(SystemExit):
        if terminal:
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", err)
        cli.main(words)
    captured = capsys.readouterr()
    return captured.out + out.text(), captured.err + err.text()


def test_escaping_keeps_the_json_value(
    hostile_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(hostile_folder)
    monkeypatch.setenv("PUMICE_HOME", str(hostile_folder / "store"))
    assert cli.main(["sbom", "oci:evil"]) == 0
    printed = capsys.readouterr().out
    assert "\\u001b" in printed
    assert repr(json.loads(printed)["name"]) == repr(EVIL)
