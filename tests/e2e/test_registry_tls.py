"""A registry with TLS and passwords, configured by options and by the configuration file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images, tls
from tests.support.serving import serving

Out = pytest.CaptureFixture[str]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry for one user, with a certificate that the system does not trust."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name="example.com/hello:1.0")
    certificate, key = tls.self_signed(tmp_path)
    certificate.rename(tmp_path / "authority.pem")
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"alice:{hashed}\n")
    options = [
        "--tls-cert",
        "authority.pem",
        "--tls-key",
        str(key),
        "--htpasswd",
        "users",
        "--anonymous",
        "none",
    ]
    with serving(tmp_path / "root", *options) as server:
        yield server.host


def login(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = "correct horse") -> int:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(password.encode() + b"\n")))
    return main(["login", *arguments, "--username", "alice", "--password-stdin"])


def test_options_select_the_trusted_ca(host: str, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    to = f"{host}/team/hello:1.0"
    assert login(monkeypatch, host, "--ca", "authority.pem", password="wrong") != 0
    assert login(monkeypatch, host, "--ca", "authority.pem") == 0
    assert main(["push", "example.com/hello:1.0", to]) != 0  # loopback: no TLS by default
    assert main(["push", "example.com/hello:1.0", to, "--ca", "authority.pem"]) == 0
    assert main(["logout", host]) == 0
    capsys.readouterr()
    assert main(["tags", f"{host}/team/hello", "--ca", "authority.pem"]) == 6
    assert "correct horse" not in capsys.readouterr().err


def test_the_configuration_selects_the_trusted_ca(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    settings = tmp_path / "config" / "pumice" / "config.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'registries:\n  "{host}":\n    ca: ../../authority.pem\n')
    assert login(monkeypatch, host) == 0
    assert main(["push", "example.com/hello:1.0", f"{host}/team/hello:1.0"]) == 0
    capsys.readouterr()
    assert main(["tags", f"{host}/team/hello"]) == 0
    assert capsys.readouterr().out == "1.0\n"
    assert main(["inspect", f"docker://{host}/team/hello:1.0"]) == 0
    (tmp_path / "authority.pem").write_bytes(tls.self_signed(tmp_path)[0].read_bytes())
    assert main(["tags", f"{host}/team/hello"]) == 6  # not the authority that signed the certificate


def test_without_verification_any_certificate_is_accepted(host: str, capsys: Out) -> None:
    to = f"{host}/team/hello:1.0"
    creds = ("--creds", "alice:correct horse")
    assert main(["push", "example.com/hello:1.0", to, "--tls-verify", *creds]) == 6
    assert "cannot verify the certificate" in capsys.readouterr().err
    assert main(["push", "example.com/hello:1.0", to, "--tls-verify=false", *creds]) == 0
    for verb in ("inspect", "tree", "resolve"):
        assert main([verb, to, "--tls-verify=False", *creds]) == 0
    capsys.readouterr()
    assert main(["tags", f"{host}/team/hello", "--tls-verify=maybe"]) == 2
    assert "--tls-verify cannot be 'maybe'" in capsys.readouterr().err


def test_a_directory_has_the_certificates(host: str, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "company.crt").write_bytes((tmp_path / "authority.pem").read_bytes())
    options = ("--cert-dir", "certs", "--creds", "alice:correct horse")
    assert main(["push", "example.com/hello:1.0", f"{host}/team/hello:1.0", *options]) == 0
    (tmp_path / "certs" / "me.cert").write_text("")
    capsys.readouterr()
    assert main(["tags", f"{host}/team/hello", *options]) == 2
    assert "certs: me.cert has no me.key" in capsys.readouterr().err
    assert main(["tags", f"{host}/team/hello", "--cert-dir", "nowhere"]) == 2
    assert "nowhere: cannot load the TLS file: no such file" in capsys.readouterr().err


def test_an_authentication_file_of_the_command_line_replaces_the_others(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    options = ("--ca", "authority.pem", "--authfile", "mine.json")
    assert main(["tags", f"{host}/team/hello", *options]) == 2
    assert "mine.json: there is no such file with logins" in capsys.readouterr().err
    assert login(monkeypatch, host, *options) == 0
    assert not (tmp_path / "auth.json").exists()
    assert main(["push", "example.com/hello:1.0", f"{host}/team/hello:1.0", *options]) == 0
    assert main(["logout", host]) == 1
    assert main(["logout", host, "--authfile", "mine.json"]) == 0


def test_a_login_of_the_command_line_is_for_one_registry(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    to = f"{host}/team/hello:1.0"
    for creds, sentence in (
        (("--creds", ":x"), "--creds needs a username"),
        (("--creds", "alice"), "cannot ask for the password"),
        (("--creds", "a:b", "--authfile", "x"), "--creds and --authfile exclude each other"),
    ):
        assert main(["tags", to.removesuffix(":1.0"), "--ca", "authority.pem", *creds]) == 2
        assert sentence in capsys.readouterr().err
