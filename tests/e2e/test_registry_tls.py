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
