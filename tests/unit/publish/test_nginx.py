from __future__ import annotations

import pytest

from pumice.errors import UsageError
from pumice.publish.nginx import make_configuration


@pytest.mark.parametrize(
    "path", ['/srv/a"b', "/srv/$uri", "/srv/a\nb", "/srv/{a}", "/srv/a;b", "/srv/\u202eb"]
)
def test_a_path_that_would_change_the_configuration_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="nginx cannot serve"):
        make_configuration(path)


def test_a_path_with_spaces_is_quoted() -> None:
    assert 'root "/srv/my images";' in make_configuration("/srv/my images")
