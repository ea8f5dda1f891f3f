"""Directories, links and owners on a machine with several users."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice import files, ownership
from pumice.cli import main as cli
from pumice.errors import ImageError, StoreError
from pumice.image.output import Output
from pumice.image.transports import layout, layout_writer
from pumice.progress import Silent
from pumice.registry import login_store
from pumice.registry.credentials import Login
from pumice.registry.reference import Repository
from pumice.registry.server.storage.disk.storage import open_storage
from pumice.store.home import Home
from pumice.trust import key_files, policy, policy_edit, policy_files
from tests.support import handmade, images

OTHER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture(params=[0, 0o002, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    umask_before = os.umask(request.param)
    yield request.param
    os.umask(umask_before)


def modes(root: Path) -> dict[str, int]:
    mode_by_path = {str(root): stat.S_IMODE(root.stat().st_mode)}
    for folder, names, _ in os.walk(root):
        for name in names:
            path = Path(folder, name)
            mode_by_path[str(path.relative_to(root))] = stat.S_IMODE(path.stat().st_mode)
    return mode_by_path


def writable_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o022]


def test_directories_are_never_writable_for_others(tmp_path: Path, umask: int) -> None:
    ownership.make_directories(tmp_path / "shared" / "a" / "b")
    ownership.make_directories(tmp_path / "private" / "a" / "b", private=True)
    assert set(modes(tmp_path / "shared").values()) == {0o755 & ~umask}
    assert set(modes(tmp_path / "private").values()) == {0o700 & ~umask}
    with pytest.raises(NotADirectoryError):
        files.replace(tmp_path / "file", b"")
        ownership.make_directories(tmp_path / "file")


def test_a_store_is_never_writable_for_others(tmp_path: Path, umask: int) -> None:
    with Home(tmp_path / "new" / "store", environ={}) as home:
        image = images.make(home, [{"etc/motd": "hello"}], name="example.com/hello:1.0")
        home.build_marks.add(image.root.digest)
        home.directory("trees")
        with home.lock("x"):
            pass
    mode_by_path = modes(tmp_path / "new")
    assert mode_by_path[str(tmp_path / "new")] == mode_by_path["store"] == 0o700 & ~umask
    assert not [path for path, mode in mode_by_path.items() if mode & 0o022]
    assert writable_files(tmp_path / "new") == []


def test_trust_rules_keys_logins_and_registries_are_never_writable_for_others(
    tmp_path: Path, umask: int
) -> None:
    del umask
    policy_edit.set_mirror(
        policy_files.PolicyDirectory("user", tmp_path / "new" / "trust"), "mirror.example/a", "example.com/b"
    )
    key_files.create_parent(tmp_path / "keys" / "private" / "key")
    environ = {"REGISTRY_AUTH_FILE": str(tmp_path / "logins" / "private" / "auth.json")}
    login_store.save_login(Repository("registry.example", ""), Login("me", "secret"), environ)
    with open_storage(tmp_path / "new" / "registry"):
        pass
    assert not [path for path, mode in modes(tmp_path).items() if mode & 0o022]
    for private in ("keys/private", "logins/private", "new/registry"):
        assert modes(tmp_path)[private] & 0o077 == 0
    assert writable_files(tmp_path) == []


def test_layouts_are_never_writable_for_others(tmp_path: Path, umask: int) -> None:
    image = handmade.image(handmade.ImageContents([[handmade.file("a", b"x")]]))
    layout_writer.write_layout(image, tmp_path / "out", "1", records=None, progress=Silent())
    assert set(modes(tmp_path / "out").values()) == {0o755 & ~umask}


# Links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linked_folder", ["blobs", "blobs/sha256"])
@pytest.mark.parametrize("complete", [False, True])
def test_layout_is_not_written_through_a_symbolic_link(
    tmp_path: Path, linked_folder: str, complete: bool
) -> None:
    image = handmade.image(handmade.ImageContents([[handmade.file("a", b"x")]]))
    folder, victim = tmp_path / "layout", tmp_path / "victim"
    if complete:
        layout_writer.write_layout(image, folder, "1", records=None, progress=Silent())
        (folder / linked_folder).rename(victim)
    else:
        folder.mkdir()
        (folder / "oci-layout").write_bytes(layout.layout_header())
        (folder / linked_folder).parent.mkdir(exist_ok=True)
        victim.mkdir()
    inside = victim if linked_folder == "blobs/sha256" else victim / "sha256"
    inside.mkdir(exist_ok=True)
    (inside / ("0" * 64)).write_text("precious")
    (inside / ".pumice-precious").write_text("precious")
    (folder / linked_folder).symlink_to(victim)
    names_before = sorted(path.name for path in inside.iterdir())
    with pytest.raises(ImageError, match="through a symbolic link"):
        layout_writer.write_layout(image, folder, "1", records=None, progress=Silent())
    with pytest.raises(ImageError, match="through a symbolic link"):
        layout_writer.attach_referrers(folder, image, (), image.blobs)
    assert sorted(path.name for path in inside.iterdir()) == names_before


@pytest.fixture
def sticky(tmp_path: Path) -> Path:
    """Return a sticky directory like /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def plant(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    return link


@as_root
def test_outputs_do_not_follow_a_planted_link(tmp_path: Path, sticky: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    image = handmade.image(handmade.ImageContents([[handmade.file("a", b"x")]]))
    with pytest.raises(ImageError, match="permission denied"), Output(str(plant(sticky / "file", victim))):
        pass
    (tmp_path / "folder").mkdir()
    folder = plant(sticky / "folder", tmp_path / "folder")
    with pytest.raises(ImageError, match="permission denied"), Output(str(folder / "file")):
        pass
    with pytest.raises(ImageError, match="permission denied"):
        layout_writer.write_layout(image, folder, "1", records=None, progress=Silent())
    assert victim.read_text() == "precious"
    assert list((tmp_path / "folder").iterdir()) == []


@as_root
def test_outputs_do_not_go_to_a_planted_pipe(sticky: Path) -> None:
    os.mkfifo(sticky / "pipe")
    os.chown(sticky / "pipe", OTHER, OTHER)
    with pytest.raises(ImageError, match="permission denied"), Output(str(sticky / "pipe")):
        pass


@as_root
def test_the_access_log_does_not_follow_a_planted_link(
    tmp_path: Path, sticky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = plant(sticky / "log", tmp_path / "victim")
    options = ["--listen", "127.0.0.1:0", "--root", str(tmp_path / "root"), "--access-log", str(log)]
    assert cli.main(["serve", *options]) == 2
    assert f"{log}: {log} is a link of another user" in capsys.readouterr().err
    assert not (tmp_path / "victim").exists()


def test_outputs_follow_links_of_the_same_user(tmp_path: Path, sticky: Path) -> None:
    for link in (sticky / "link", tmp_path / "link"):
        link.symlink_to(tmp_path / "target")
        with Output(str(link)) as output:
            output.file.write(b"x")
        assert link.is_symlink()
        assert (tmp_path / "target").read_bytes() == b"x"


@as_root
def test_links_are_followed_as_the_kernel_would(tmp_path: Path, sticky: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link = plant(sticky / "link", target)
    with pytest.raises(PermissionError):
        ownership.resolve_links(link / "x")
    assert ownership.resolve_links(link / "x", user=OTHER) == str(target / "x")  # owner of the link
    os.chown(sticky, OTHER, OTHER)
    assert ownership.resolve_links(link / "x") == str(target / "x")  # owner of the directory
    os.chown(sticky, 0, 0)
    sticky.chmod(0o777)
    assert ownership.resolve_links(link / "x") == str(
        target / "x"
    )  # the directory is not sticky, so others can replace the link anyway


def test_links_are_resolved_as_the_system_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "up").symlink_to("a/b/..")
    (tmp_path / "a" / "absolute").symlink_to(tmp_path / "a")
    (tmp_path / "gone").symlink_to("missing/x")
    monkeypatch.chdir(tmp_path)
    for path in (
        "up",
        "up/b/../absolute/b",
        "gone",
        "missing/../a",
        "./a//b/",
        "/",
        "a/absolute/absolute",
        "-",
    ):
        assert ownership.resolve_links(path) == os.path.realpath(path)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="Too many levels"):
        ownership.resolve_links("circle/x")


# Owners -------------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("verb", [["images"], ["gc"], ["rm", "a:1"], ["store", "verify"], ["inspect", "a:1"]])
def test_root_does_not_use_the_store_of_another_user(
    tmp_path: Path, verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    with Home(store, environ={}) as home:
        images.make(home, [{"etc/motd": "hello"}], name="a:1")
    os.chown(store, OTHER, OTHER)
    monkeypatch.setenv("PUMICE_HOME", str(store))
    assert cli.main(verb) == 9
    error = capsys.readouterr().err
    assert f"{store}: cannot use the directory as root: it belongs to user {OTHER}" in error
    assert f"PUMICE_SAFE_DIRECTORIES={store}" in error
    for safe in (str(store), "/x:" + str(store), "*"):
        monkeypatch.setenv("PUMICE_SAFE_DIRECTORIES", safe)
        cli.main(verb)
        assert "belongs to user" not in capsys.readouterr().err


@as_root
def test_the_configuration_names_directories_that_are_safe(tmp_path: Path) -> None:
    store, configuration = tmp_path / "store", tmp_path / "config.yaml"
    store.mkdir()
    os.chown(store, OTHER, OTHER)
    environ = {"PUMICE_CONFIG": str(configuration)}
    for text, works in (
        ("{}", False),
        (f"safe_directories: [/x, {store}]", True),
        ("safe_directories: '*'", True),
    ):
        configuration.write_text(text)
        with Home(store, environ=environ) as home:
            if works:
                assert home.refs.names() == []
            else:
                with pytest.raises(StoreError, match="belongs to user"):
                    _ = home.refs
    os.chown(configuration, OTHER, OTHER)  # the other user could claim anything
    with Home(store, environ=environ) as home, pytest.raises(StoreError, match="belongs to user"):
        _ = home.refs


@as_root
def test_root_follows_no_trust_rules_and_serves_no_registry_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "config" / "pumice" / "trust"
    folder.mkdir(parents=True)
    os.chown(folder, OTHER, OTHER)
    with pytest.raises(StoreError, match="belongs to user"):
        policy.policy_directories({"XDG_CONFIG_HOME": str(tmp_path / "config")})
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    assert cli.main(["serve", "--root", str(folder), "--check"]) == 9
    assert "belongs to user" in capsys.readouterr().err


@as_root
def test_a_link_of_another_user_is_not_a_store_of_roots(tmp_path: Path) -> None:
    with Home(tmp_path / "store", environ={}) as home:
        assert home.refs.names() == []
    plant(tmp_path / "link", tmp_path / "store")
    with Home(tmp_path / "link", environ={}) as home, pytest.raises(StoreError, match="belongs to user"):
        _ = home.refs


def test_other_users_can_use_a_readable_store(tmp_path: Path) -> None:
    ownership.check_owner("/", [], user=1000)
    ownership.check_owner(tmp_path / "missing", [], user=0)
