"""The command ``pumice trust``, and its effect on ``pumice run``."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import keyserver
from tests.support.trust_world import TrustWorld, signed_world

OTHER = "other"


@pytest.fixture(scope="module")
def new_world(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    return signed_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(new_world: TrustWorld, tmp_path: Path) -> TrustWorld:
    return new_world.copy_to(tmp_path / "world")


def fingerprint(world: TrustWorld) -> str:
    from pumice.trust import public_keys

    return public_keys.read_public_key(world.project / "release.pub").fingerprint


def trust(world: TrustWorld, *arguments: str) -> str:
    return world.must("trust", "add", *arguments, "release.pub", "--fingerprint", fingerprint(world))


def test_a_rule_lets_an_image_be_used(world: TrustWorld) -> None:
    stderr = world.refused("run", "oci:out", "/bin/hello", store=OTHER)
    assert "no key is trusted for example.com/hello:1.0" in stderr
    trust(world, "--prefix", "example.com/hello")
    # The image has no shell, so the program fails, but only after the image was admitted.
    assert "its interpreter" in world.do("run", "oci:out", "/bin/hello", store=OTHER).stderr
    why = world.must("trust", "why", "oci:out", store=OTHER)
    assert "(user rule for example.com/hello)" in why
    assert fingerprint(world) in world.must("trust", "list")


def test_why_explains_a_refused_image_in_json_too(world: TrustWorld) -> None:
    refused = world.do("trust", "why", "oci:out", "--json", store=OTHER)
    explanation = json.loads(refused.stdout)
    assert refused.code == 7
    assert (explanation["trusted"], explanation["keys"], explanation["verification"]) == (False, [], None)
    assert explanation["problem"] in refused.stderr
    assert explanation["hint"].startswith("no key is trusted for example.com/hello:1.0")
    trust(world, "--prefix", "example.com")
    explanation = json.loads(world.must("trust", "why", "oci:out", "--json", store=OTHER))
    assert (explanation["trusted"], explanation["exempt"], explanation["problem"]) == (True, False, None)
    (key,) = explanation["keys"]
    assert (key["key"], key["problem"]) == (fingerprint(world), None)
    assert explanation["verification"]["signatures"]
    template = ("--format", "{{.Trusted}} {{.RequiredName}}")
    assert world.must("trust", "why", "oci:out", *template, store=OTHER) == "true example.com/hello:1.0"


def test_a_rule_for_another_prefix_does_not_apply(world: TrustWorld) -> None:
    trust(world, "--prefix", "example.com/hel")
    world.refused("verify", "oci:out", store=OTHER)


def test_insecure_options_warn_and_apply_once(world: TrustWorld) -> None:
    pumice_run = world.do("run", "--insecure-options=image", "oci:out", "/bin/hello", store=OTHER)
    assert "warning: oci:out: signatures are not verified" in pumice_run.stderr
    assert "its interpreter" in pumice_run.stderr
    world.refused("run", "oci:out", "/bin/hello", store=OTHER)


def test_an_image_built_here_runs_without_a_rule(world: TrustWorld) -> None:
    world.build()
    assert "its interpreter" in world.do("run", "example.com/hello:1.0", "/bin/hello").stderr
    assert "the image was built here" in world.must("trust", "why", "example.com/hello:1.0")


def test_without_a_terminal_a_fingerprint_must_be_given(world: TrustWorld) -> None:
    stderr = world.refused("trust", "add", "--prefix", "example.com", "release.pub")
    assert "cannot ask you to confirm" in stderr
    stderr = world.refused("trust", "add", "--root", "release.pub", "--fingerprint", "0" * 64)
    assert "the key's fingerprint is" in stderr


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 7), ("", 7)])
def test_on_a_terminal_the_fingerprint_is_confirmed(world: TrustWorld, answer: str, code: int) -> None:
    output, returned = on_a_terminal(world, answer, "release.pub")
    assert returned == code
    assert fingerprint(world) in output


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 7)])
def test_on_a_terminal_a_key_from_a_url_is_shown(world: TrustWorld, answer: str, code: int) -> None:
    pem = (world.project / "release.pub").read_bytes()
    with keyserver.serving({"/release.pub": pem}) as (port, requests):
        url = f"http://127.0.0.1:{port}/release.pub"
        output, returned = on_a_terminal(world, answer, url)
    assert (returned, len(requests)) == (code, 1)
    assert url in output
    assert fingerprint(world) in output
    assert ("release" in world.must("trust", "list")) == (code == 0)


def on_a_terminal(world: TrustWorld, answer: str, key: str) -> tuple[str, int]:
    """Add a key on a terminal and type the answer; return the output and the exit code."""
    controller, terminal = pty.openpty()
    environ = {
        **os.environ,
        "XDG_CONFIG_HOME": str(world.config),
        "PUMICE_HOME": str(world.root / "store"),
        "no_proxy": "127.0.0.1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pumice", "trust", "add", "--prefix", "example.com", key],
        cwd=world.project,
        env=environ,
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    os.write(controller, f"{answer}\n".encode())
    output = b""
    while process.poll() is None or not output:
        try:
            output += os.read(controller, 4096)
        except OSError:
            break
    code = process.wait()
    os.close(controller)
    return output.decode(), code


def test_a_key_from_a_url_needs_its_fingerprint(world: TrustWorld) -> None:
    key = fingerprint(world)
    pem = (world.project / "release.pub").read_bytes()
    with keyserver.serving({"/release.pub": pem}) as (port, requests):
        url = f"http://127.0.0.1:{port}/release.pub"
        environment = {"no_proxy": "127.0.0.1"}
        stderr = world.refused("trust", "add", "--prefix", "example.com", url, environment=environment)
        assert "cannot ask you to confirm" in stderr
        assert requests == []  # the key is not fetched if nobody can confirm it
        words = ("trust", "add", "--prefix", "example.com", url, "--fingerprint")
        assert "the key's fingerprint is" in world.refused(*words, "0" * 64, environment=environment)
        assert key in world.must(*words, key, environment=environment)
    assert "release" in world.must("trust", "list")
    world.must("verify", "oci:out", store=OTHER)


def test_plain_http_warns(world: TrustWorld) -> None:
    url = "http://keys.invalid/release.pub"
    words = ("trust", "add", "--root", url, "--fingerprint", "0" * 64)
    assert "the connection is not protected" in world.refused(*words, code=2)
    pumice_run = world.do(*words, "--insecure-allow-http", environment={"no_proxy": "*"})
    assert pumice_run.code not in (0, 2)
    assert f"warning: {url}: the connection is not protected" in pumice_run.stderr


def test_run_with_allow_older_admits_an_older_image_once(world: TrustWorld) -> None:
    trust(world, "--root")
    recipe = world.project / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace('"1.0"', '"1.1"'))
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:newer")
    recipe.write_text(text)
    runs = ("run", "oci:out", "/bin/hello")
    # The image has no shell, so the program fails, but only after the image was admitted.
    assert "its interpreter" in world.do(*runs, store=OTHER).stderr
    assert "its interpreter" in world.do("run", "oci:newer", "/bin/hello", store=OTHER).stderr
    assert "1.1 was admitted" in world.refused(*runs, store=OTHER)
    pumice_run = world.do("run", "--allow-older", *runs[1:], store=OTHER)
    assert "warning: example.com/hello:1.0: the image is older" in pumice_run.stderr
    assert "its interpreter" in pumice_run.stderr
    assert "1.1 was admitted" in world.refused(*runs, store=OTHER)


def test_keys_can_be_removed_revoked_and_rotated(world: TrustWorld) -> None:
    key = fingerprint(world)
    trust(world, "--root")
    world.must("verify", "oci:out", store=OTHER)
    world.must("trust", "remove", key[:12])
    world.refused("verify", "oci:out", store=OTHER)
    trust(world, "--prefix", "example.com")
    new = world.must("key", "generate", "--output", "new")
    world.must("trust", "rotate", key, "new.pub", "--fingerprint", new)
    world.must("verify", "oci:out", store=OTHER)
    world.must("trust", "rotate", key, "new.pub", "--fingerprint", new, "--overlap", "0")
    assert "expired on" in world.refused("verify", "oci:out", store=OTHER)
    world.must("sign", "oci:out", "--key", "new.key")
    world.must("verify", "oci:out", store=OTHER)
    world.must("trust", "revoke", new, "--reason", "stolen")
    assert "is revoked (stolen)" in world.refused("verify", "oci:out", store=OTHER)
    assert "is revoked (stolen)" in world.refused("verify", "oci:out", "--key", "new.pub", store=OTHER)


def test_a_threshold_of_two_requires_two_signatures(world: TrustWorld) -> None:
    trust(world, "--prefix", "example.com", "--threshold", "2")
    second = world.must("key", "generate", "--output", "second")
    world.must("trust", "add", "--prefix", "example.com", "second.pub", "--fingerprint", second)
    assert "example.com requires 2 keys" in world.must("trust", "list")
    assert "signed by 1 of 2 required keys" in world.refused("verify", "oci:out", store=OTHER)
    world.must("sign", "oci:out", "--key", "second.key")
    assert world.must("verify", "oci:out", store=OTHER).count("signed   by") == 2


def test_documents_of_an_image_built_here_need_no_second_key(world: TrustWorld) -> None:
    world.must("build", "recipe.yaml", "--sign", "release.key")
    trust(world, "--prefix", "example.com", "--threshold", "2")
    second = world.must("key", "generate", "--output", "second").strip()
    world.must("trust", "add", "--prefix", "example.com", "second.pub", "--fingerprint", second)
    assert '"spdxVersion"' in world.must("sbom", "example.com/hello:1.0")
    assert "attested by 1 of 2 required keys" in world.refused("sbom", "oci:out", store=OTHER)


def test_export_writes_a_policy_for_podman(world: TrustWorld) -> None:
    trust(world, "--prefix", "example.com")
    world.must("trust", "export", "--output", "policy")
    policy = json.loads((world.project / "policy" / "policy.json").read_text())
    assert list(policy["transports"]["docker"]) == ["example.com"]
    assert (world.project / "policy" / "registries.d" / "pumice.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("add", "release.pub"), 2, "the key needs a prefix of names"),
        (("add", "release.pub", "--root", "--prefix", "x"), 2, "the key needs a prefix of names"),
        (("add", "release.pub", "--prefix", "../x"), 2, "invalid prefix"),
        (("add", "--root"), 2, "KEY is missing"),
        (("rotate", "x"), 2, "NEW-KEY is missing"),
        (("remove", "0" * 64), 7, "no rule for key"),
        (("remove", "abc"), 2, "too short"),
        (("add", "release.pub", "--root", "--expires", "soon"), 2, "invalid date"),
        (("export", "--format", "rego"), 2, "--format cannot be 'rego'"),
        (("add", "release.pub", "--root", "--threshold", "0"), 2, "invalid threshold 0"),
        (("add", "http://example.com/a.pub", "--root"), 2, "the connection is not protected"),
        (("add", "file:///etc/passwd", "--root"), 2, "not https"),
        (("mirror", "a b", "c"), 2, "invalid prefix"),
    ],
)
def test_trust_reports_errors(world: TrustWorld, arguments: tuple[str, ...], code: int, message: str) -> None:
    assert message in world.refused("trust", *arguments, code=code)
