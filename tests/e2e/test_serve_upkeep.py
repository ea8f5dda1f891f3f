"""``pumice serve --check`` and ``--collect``: maintenance of a registry that is not being served."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.serving import digest_of, serving

Out = pytest.CaptureFixture[str]


def test_a_registry_can_be_checked_and_collected(tmp_path: Path, capsys: Out) -> None:
    root = tmp_path / "root"
    with serving(root) as server:
        _, document = server.push_image("team/app", "1.0")
        loose = server.push_blob("team/app", b"nobody needs it")
        assert main(["serve", "--check", "--root", str(root)]) != 0
        assert "the directory is in use by another 'pumice serve'" in capsys.readouterr().err
        server.stop()
    assert main(["serve", "--check", "--root", str(root)]) == 0
    assert "1 repository, 1 manifest, 3 blobs" in capsys.readouterr().out
    assert main(["serve", "--collect", "--keep-untagged", "0", "--check", "--root", str(root)]) == 0
    output = capsys.readouterr().out
    assert "0 manifests, 1 blob and 0 unfinished uploads removed, 15 bytes freed" in output
    assert "2 blobs" in output
    (damaged,) = (root / "blobs").rglob(digest_of(b"layer").partition(":")[2])
    damaged.write_bytes(b"other")
    assert main(["serve", "--check", "--root", str(root)]) == 9
    output = capsys.readouterr().out
    assert f"damaged  {digest_of(b'layer')}: the content has another digest" in output
    assert "1 damaged, 0 incomplete" in output
    assert loose not in output
    assert document


def test_maintenance_does_not_create_a_registry(tmp_path: Path, capsys: Out) -> None:
    for option in ("--check", "--collect"):
        assert main(["serve", option, "--root", str(tmp_path / "none")]) == 2
        assert "not a registry directory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--require-signed", "no/such/folder"), "no such policy directory"),
        (("--require-signed", "."), "the policy trusts no key, so no tag could be set"),
        (("--require-signed", "a\0b"), "no such policy directory"),
        (("--require-signed", ""), "the policy trusts no key"),
        (("--require-signed", "trust"), "the policy trusts no key"),
        (("--proxy", "registry.example"), "is not a registry URL"),
        (("--proxy", "https://"), "is not a registry URL"),
        (("--proxy", "https://alice:secret@registry.example"), "is not a registry URL"),
        (("--proxy", "ftp://registry.example"), "is not a registry URL"),
        (("--proxy", "https://registry.example/UPPER"), "is not a registry URL"),
        (("--proxy", "https://[::1"), "is not a registry URL"),
        (("--proxy", "https://r.example", "--proxy-fresh", "nan"), "is not a number of seconds"),
        (("--proxy", "https://r.example", "--proxy-fresh", "-1"), "is not a number of seconds"),
        (("--check", "--root", "a\0b"), "not a registry directory"),
    ],
)
def test_invalid_options_are_rejected(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert main(["serve", "--listen", "127.0.0.1:0", *options]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "secret" not in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
