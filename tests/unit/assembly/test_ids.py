"""Ids up to 4294967294: recipes, packages and images take the whole range that the kernel has."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.deb import Deb, Item
from tests.support.workshop import Workshop

if TYPE_CHECKING:
    from pathlib import Path

HIGHEST = (1 << 32) - 2


@pytest.mark.parametrize("number", [65535, 65536, 2_097_152, 1_000_660_000, HIGHEST])
def test_an_id_of_the_recipe_or_a_package_reaches_the_image(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Workshop(tmp_path)
    base = [Deb("base-files"), Deb("base-passwd")]
    shop.publish(Deb("app", files=[Item("srv/package", b"x", uid=number, gid=number)]), *base)
    shop.write(
        ["app"],
        users=[{"name": "app", "uid": number, "group": str(number)}, {"name": "other"}],
        groups=[{"name": "app", "gid": number}],
        files=[
            {"text": "x", "to": "/srv/number", "owner": f"{number}:{number}"},
            {"text": "x", "to": "/srv/name", "owner": "app:app"},
            {"text": "x", "to": "/srv/program", "mode": "0755"},
        ],
        run={"user": f"{number}:{number}", "command": ["/srv/program"]},
    )
    archive = tmp_path / "out.tar"
    done = shop.run(capsys, "build", "--progress", "none", str(shop.recipe_path), "-o", f"tar:{archive}")
    assert (done.code, done.err) == (0, "")
    with tarfile.open(archive) as found:
        owners = {
            name: (found.getmember(name).uid, found.getmember(name).gid)
            for name in ("srv/package", "srv/number", "srv/name")
        }
        passwd = found.extractfile("etc/passwd")
        assert passwd is not None
        assert f"app:*:{number}:" in passwd.read().decode().replace(":x:", ":*:")
    assert set(owners.values()) == {(number, number)}
    assert shop.run(capsys, "lock", str(shop.recipe_path)).code == 0


@pytest.mark.parametrize("number", [str(HIGHEST + 1), "9" * 40])
def test_an_id_beyond_the_range_is_reported_as_out_of_range(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Workshop(tmp_path)
    shop.write(["app"])
    text = shop.recipe_path.read_text()
    shop.recipe_path.write_text(text[:-2] + f', "users": [{{"name": "a", "uid": {number}}}]}}')
    done = shop.run(capsys, "lock", str(shop.recipe_path))
    assert done.code == 3
    assert f"is out of range\n  hint: from 0 to {HIGHEST}" in done.err
