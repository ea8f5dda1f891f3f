"""Logins that are saved and deleted at the same time: none is lost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pumice.registry.credentials import Login
from pumice.registry.login_store import delete_login, parse_login_target, save_login

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = [f"registry{number}.example" for number in range(24)]


def test_logins_at_the_same_time_are_all_saved_and_deleted(tmp_path: Path) -> None:
    file = tmp_path / "containers" / "auth.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"auths": {"old.example": {"auth": "eDp5"}}, "unknown": 1}))
    environ = {"REGISTRY_AUTH_FILE": str(file)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda host: save_login(parse_login_target(host), Login(host, "x"), environ), HOSTS))
    saved = json.loads(file.read_text())
    assert sorted(saved["auths"]) == sorted(["old.example", *HOSTS])
    assert saved["unknown"] == 1
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda host: delete_login(parse_login_target(host), environ), HOSTS))
    assert json.loads(file.read_text()) == {"auths": {"old.example": {"auth": "eDp5"}}, "unknown": 1}
    assert [path.name for path in file.parent.iterdir()] == ["auth.json"]
