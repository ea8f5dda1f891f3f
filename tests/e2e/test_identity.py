"""``pumice identity``: tokens, their keys, and servers that accept them in place of passwords."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt as peer
from joserfc.jwk import KeySet

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, people, pods, waiting
from tests.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

IMAGE = "example.com/team/builder:1"
AUDIENCE = "registry.example"
WAIT = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
ASK = "busybox wget -q -O - --header 'Metadata-Flavor: AppContainer' $AC_METADATA_URL/identity/v1/token"


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"))
            images.make(home, [images.shell()], name=IMAGE, config=config)
        someone.give(someone.home)
        yield someone
        pods.remove_all(someone)
        pods.send_signal(f"runtime/metadata/__main__.py {someone.home}", signal.SIGTERM)


@pytest.fixture(scope="module")
def pod(person: Person) -> str:
    pods.start(person, "--mds", "--name", "builder-1", IMAGE, WAIT)
    return "builder-1"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def token(person: Person, pod: str, audience: str = AUDIENCE, *options: str) -> str:
    return pods.run_ok(person, "identity", "token", pod, "--audience", audience, *options).strip()


def fail(person: Person, *arguments: str, text: str = "", code: int = 2) -> str:
    process = person.pumice("identity", *arguments, input=text)
    assert process.returncode == code, process.stderr
    assert process.stdout == ""
    return process.stderr


def test_a_token_says_which_instance_runs_which_image(person: Person, pod: str) -> None:
    document = json.loads(pods.run_ok(person, "identity", "keys"))
    decoded = peer.decode(token(person, pod), KeySet.import_key_set(document), algorithms=["ES256"])
    listed = pods.status(person, pod)
    expected = {
        "iss": document["issuer"],
        "sub": "pod:builder-1:app:builder",
        "aud": AUDIENCE,
        "pod_uuid": listed["id"],
        "pod_name": "builder-1",
        "app": "builder",
        "image": IMAGE,
        "image_digest": listed["digest"],
    }
    assert {name: decoded.claims[name] for name in expected} == expected
    assert decoded.claims["exp"] - decoded.claims["iat"] == 600


def test_verify_prints_the_claims(person: Person, pod: str) -> None:
    text = token(person, pod)
    for issuer in ((), ("--issuer", write_keys(person))):
        process = person.pumice("identity", "verify", "--audience", AUDIENCE, *issuer, input=f"{text}\n")
        assert process.returncode == 0, process.stderr
        assert json.loads(process.stdout) == claims_of(text)
    assert "for the audience" in fail(person, "verify", "--audience", "x", text=text, code=7)
    condition = ("--audience", AUDIENCE, "--require", "image=example.com/other:*")
    assert "does not match" in fail(person, "verify", *condition, text=text, code=7)
    for bad in ("", "x", "a.b.c", "x" * 100_000, text[:-8] + "AAAAAAAA"):
        assert "error: " in fail(
            person, "verify", "--audience", AUDIENCE, text=bad, code=7 if "eyJ" in bad else 8
        )


def write_keys(person: Person) -> str:
    path = person.home / "keys.json"
    path.write_text(pods.run_ok(person, "identity", "keys"))
    path.chmod(0o644)
    return str(path)


def test_a_rotated_key_stays_valid(person: Person, pod: str) -> None:
    text = token(person, pod)
    before = json.loads(pods.run_ok(person, "identity", "keys"))["keys"]
    after = json.loads(pods.run_ok(person, "identity", "keys", "--rotate"))["keys"]
    assert after[1:] == before
    assert (
        json.loads(base64.urlsafe_b64decode(token(person, pod).split(".")[0] + "=="))["kid"]
        == after[0]["kid"]
    )
    process = person.pumice("identity", "verify", "--audience", AUDIENCE, input=text)
    assert process.returncode == 0, process.stderr


def test_the_issuer_can_be_set(person: Person, pod: str) -> None:
    previous = pods.run_ok(person, "identity", "issuer").strip()
    assert previous.startswith("urn:pumice:")
    assert pods.run_ok(person, "identity", "issuer", "https://id.example/") == "https://id.example\n"
    assert claims_of(token(person, pod))["iss"] == "https://id.example"
    assert pods.run_ok(person, "identity", "issuer", previous).strip() == previous
    assert "is not an issuer" in fail(person, "issuer", "x\x1b[31m")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("token", "nothing", "--audience", "a"), "there is no pod", 10),
        (("token", "builder-1"), "--audience is missing", 2),
        (("token", "builder-1", "--audience", ""), "audience is empty", 2),
        (("token", "builder-1", "--audience", "a\nb"), "audience is empty", 2),
        (("token", "builder-1", "--audience", "a", "--lifetime", "5"), "is not a lifetime", 2),
        (("token", "builder-1", "--audience", "a", "--lifetime", "1e9"), "lifetime", 2),
        (("token", "builder-1", "--audience", "a", "--app", "x"), "the pod has no app", 2),
        (("verify", "--audience", "a", "--issuer", "http://example.com"), "is not the URL of an issuer", 2),
        (("verify", "--audience", "a", "--issuer", "/dev/zero"), "cannot read the keys", 9),
        (("verify", "--audience", "a", "--issuer", "/etc/passwd"), "not valid strict JSON", 8),
        (("verify", "--audience", "a", "--require", "x"), "is not CLAIM=PATTERN", 2),
        (("verify", "--audience", "a", "--listen", "x"), "is not HOST:PORT", 2),
        (("verify", "--audience", "a", "--listen", "203.0.113.9:1"), "cannot listen", 2),
    ],
)
def test_mistakes_are_explained(
    person: Person, pod: str, arguments: tuple[str, ...], message: str, code: int
) -> None:
    assert message in fail(person, *arguments, code=code)


def test_a_pod_without_the_service_has_no_tokens(person: Person) -> None:
    pods.start(person, "--name", "plain", IMAGE, WAIT)
    assert "has no metadata service" in fail(person, "token", "plain", "--audience", "a", code=10)


def test_audiences_of_a_pod_are_limited(person: Person) -> None:
    pods.start(person, "--mds-audience", "a", "--name", "limited", IMAGE, WAIT)
    assert claims_of(token(person, "limited", "a"))["aud"] == "a"
    assert "may not have tokens for this audience" in fail(person, "token", "limited", "--audience", "b")


# Servers ------------------------------------------------------------------------------------------


@contextmanager
def registry(person: Person, tmp_path: Path) -> Iterator[Any]:
    identities, rules = tmp_path / "identities.yaml", tmp_path / "rules.yaml"
    identities.write_text(
        "builder:\n  image: example.com/team/builder:*\n  sub: pod:builder-*\nother: {app: x}\n"
    )
    rules.write_text("team: {read: [users], write: [builder]}\n")
    options = ("--identity-issuer", write_keys(person), "--identity-audience", AUDIENCE)
    with serving(
        tmp_path / "root",
        *options,
        "--identities",
        str(identities),
        "--access",
        str(rules),
        "--anonymous",
        "none",
    ) as server:
        yield server


def test_a_pod_pushes_and_pulls_without_a_password(person: Person, pod: str, tmp_path: Path) -> None:
    with registry(person, tmp_path) as server:
        assert server.ask("GET", "/v2/").status == 401
        text = token(person, pod)
        environment = {"HOME": str(person.home), "DOCKER_CONFIG": str(person.home / "docker")}
        login = person.pumice(
            "login", server.host, "--username", "pod", "--password-stdin", input=text, env=environment
        )
        assert login.returncode == 0, login.stderr
        target = f"docker://{server.host}/team/app:1"
        push = person.pumice("push", IMAGE, target, env=environment)
        assert push.returncode == 0, push.stderr
        elsewhere = person.pumice("push", IMAGE, f"docker://{server.host}/x:1", env=environment)
        assert elsewhere.returncode == 0, elsewhere.stderr  # no rule: users may write
        # The pod itself, with nothing but its own token:
        script = (
            f"T=$({ASK}?audience={AUDIENCE}); "
            f'busybox wget -q -O - --header "Authorization: Bearer $T" http://{server.host}/v2/team/app/tags/list'
        )
        output = pods.run_ok(
            person, "run", "--progress", "none", "--mds", "--name", "builder-2", IMAGE, script
        )
        assert json.loads(output)["tags"] == ["1"]
        stranger = pods.run_ok(
            person, "run", "--progress", "none", "--mds", "--name", "x", IMAGE, script + "; :"
        )
        assert stranger == ""


def test_a_registry_gets_the_keys_from_the_url_of_the_issuer(
    person: Person, pod: str, tmp_path: Path
) -> None:
    """Two machines: one publishes its keys with the metadata service, the other only knows the URL."""
    previous = pods.run_ok(person, "identity", "issuer").strip()
    pods.send_signal(f"runtime/metadata/__main__.py {person.home}", signal.SIGTERM)
    waiting.until(lambda: not (person.home / "store" / "metadata" / "socket").exists())
    command = person.command("metadata-service", "--listen", "127.0.0.1:0")
    identities = tmp_path / "identities.yaml"
    identities.write_text("builder: {sub: pod:builder-1:*}\n")
    with subprocess.Popen(command, env=person.environment(), stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            url = service.stdout.readline().strip()
            pods.run_ok(person, "identity", "issuer", url)
            options = ("--identity-issuer", url, "--identity-audience", AUDIENCE)
            with serving(tmp_path / "root", *options, "--identities", str(identities)) as server:
                text = token(person, pod)
                pods.run_ok(person, "identity", "keys", "--rotate")
                for each in (text, token(person, pod)):
                    assert server.ask("GET", "/v2/", headers=basic(each)).status == 200
        finally:
            pods.run_ok(person, "identity", "issuer", previous)
            service.terminate()
    assert service.returncode == 0


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"pod:{text}".encode()).decode()}


def test_the_registry_refuses_other_tokens(person: Person, pod: str, tmp_path: Path) -> None:
    with registry(person, tmp_path) as server:
        text = token(person, pod)
        assert server.ask("GET", "/v2/", headers=basic(text)).status == 200
        assert server.ask("GET", "/v2/", headers={"Authorization": f"Bearer {text}"}).status == 200
        wrong = token(person, pod, "elsewhere")
        reply = server.ask("GET", "/v2/", headers=basic(wrong))
        assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
        assert b"for the audience 'elsewhere'" in reply.body
        forged = text[:-8] + "AAAAAAAA"
        assert b"signature" in server.ask("GET", "/v2/", headers=basic(forged)).body
        for header in (
            "Bearer",
            "Bearer x",
            "Bearer eyJ..",
            "Bearer eyJ.eyJ.\x01",
            "Bearer " + "eyJ." * 5000,
        ):
            status = server.ask("GET", "/v2/", headers={"Authorization": header}).status
            assert status in (400, 401, 431), header


def test_options_for_identities_belong_together(tmp_path: Path) -> None:
    keys, identities = tmp_path / "keys.json", tmp_path / "identities.yaml"
    keys.write_text("{}")
    identities.write_text("a: {}\nanonymous: {x: y}\nb: [c]\nc: {x: [y]}\n")
    command = [
        sys.executable,
        "-m",
        "pumice",
        "serve",
        "--root",
        str(tmp_path / "r"),
        "--listen",
        "127.0.0.1:0",
    ]

    def refuse(*options: str) -> str:
        process = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert process.returncode in (2, 8)
        return process.stderr

    assert "must be given together" in refuse("--identity-issuer", str(keys))
    options = ("--identity-issuer", str(keys), "--identity-audience", "a", "--identities", str(identities))
    message = refuse(*options)
    assert message.count("needs at least one claim") == 3
    assert "'anonymous' cannot be the name of an identity" in message
    assert f"{identities}:1:1" in message
    identities.write_text("a: {sub: x}\n")
    assert "does not name its issuer" in refuse(*options)


NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  {temporary}
  server {{
    listen unix:{directory}/web.sock;
    location / {{
      auth_request /verify;
      auth_request_set $subject $upstream_http_x_token_subject;
      add_header X-Subject $subject;
      return 200 "welcome";
    }}
    location = /verify {{
      internal;
      proxy_pass {verifier};
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
    location /content/ {{
      auth_request /verify;
      alias {directory}/content/;
    }}
  }}
}}
"""


@pytest.mark.peer("nginx", "curl")
def test_nginx_accepts_tokens_through_auth_request(person: Person, pod: str, tmp_path: Path) -> None:
    issuer = write_keys(person)
    command = [sys.executable, "-m", "pumice", "identity", "verify", "--listen", "127.0.0.1:0"]
    conditions = ("--issuer", issuer, "--audience", "web.example", "--require", "image=example.com/team/*")
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "page").write_text("content")
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in names)
    with subprocess.Popen([*command, *conditions], stdout=subprocess.PIPE, text=True) as verifier:
        assert verifier.stdout is not None
        url = verifier.stdout.readline().strip()
        (tmp_path / "nginx.conf").write_text(
            NGINX.format(directory=tmp_path, temporary=temporary, verifier=url)
        )
        nginx = subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", f"{tmp_path}/log"])

        def ask(text: str | None) -> tuple[str, str]:
            header = ["--header", f"Authorization: Bearer {text}"] if text is not None else []
            output = subprocess.run(
                [
                    *("curl", "--silent", "--retry", "60", "--retry-delay", "1", "--retry-all-errors"),
                    *("--unix-socket", f"{tmp_path}/web.sock", "--write-out", "\n%{http_code}", *header),
                    "http://web/content/page",
                ],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            body, _, status = output.rpartition("\n")
            return status, body

        try:
            assert ask(token(person, pod, "web.example")) == ("200", "content")
            assert ask(None)[0] == "401"
            assert ask(token(person, pod, "elsewhere"))[0] == "401"
            assert ask("x")[0] == "401"
        finally:
            nginx.terminate()
            nginx.wait()
            verifier.terminate()
        assert verifier.wait() == 0
