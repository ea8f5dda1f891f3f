from __future__ import annotations

import pytest

from pumice.errors import UsageError
from pumice.registry.credentials import Login, NamedRegistryLogin
from pumice.registry.reference import Repository


def test_a_login_goes_only_to_the_registry_that_was_named() -> None:
    login = Login("ada", "secret")
    credentials = NamedRegistryLogin(login, frozenset({"a.example", "b.example"}))
    assert credentials.find_login(Repository("mirror.example", "x")) is None
    assert credentials.find_login(Repository("a.example", "x")) == login
    with pytest.raises(UsageError, match=r"for one registry, not for a\.example and b\.example"):
        credentials.find_login(Repository("b.example", "x"))
