"""Releases of slice definitions for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.slices import conflicts
from pumice.slices.release import parse_release, read_files, sort_problems

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID = "6817143D493CC0CB"
ARMOR = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mQENBGsMpLIBCADQmQSCn/7LLjHMPJZfd3chCz5FiLCpnozgawibDr7WuqhvnBye
mq77SClnlUbr3MAN5NHgYJCXd+5L0UMMaTK5sCaUXb6nvUuxU+bzS5aHBJzk2Q7+
nxb7kez9euPlz1cYWEfSplMoevZocnjHxtsmFFQoSty6xPTW+UBkS/whHrJAo1IB
bDDxkfLSqw1l1dPGuTIeTyhaJrS88b6q31JL6arZYu6ypwabq+Bsn9uvIWcLglcA
DdtCCol972PgiItmLPW9xrzeWz28cQ06MyIp8STBZ61gxxfbM886Uh0NgboAkAs2
zQsxXnqO4jlDwCdiN39xy4Q3p4Um78ivkeIFABEBAAG0H1Rlc3QgYXJjaGl2ZSA8
dGVzdEBleGFtcGxlLmNvbT6JAU4EEwEKADgWIQTQ4zlJ5WQZ9k8Hv+toFxQ9STzA
ywUCawyksgIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRBoFxQ9STzAy8+9
CACrL7YyCrH8dLfV4tyGbfjRGaRbARqaZTlGNx3ORBW5mUBKLl2zED1fs+FlTakA
NxmjlstiJMYH56bz9uKw9HA7s/AtAb9osquS9Xb99DixLbtWWcrXGy+zJCKx0DHt
kmbjntLP8/kAsG+RTDmZr6Rp1O1qm1lk0kA5QXLeA2Rm1uZ48zT8lvXBDTiE7KNr
TWYfuyecPcgyeSXb1orRd3ax5k0KeOXycz4idX5EvCXEJxRxA3uxlTWFlHDsjLqb
9rO5Zj3OlTGNazAT1FH1047bwJaEWNGR3h+Pkz/JSVq22NbzQRv+qzDVrHIFBaau
32YYtkY26+bUQVQLTm+d7w2M
=vjdf
-----END PGP PUBLIC KEY BLOCK-----"""

_KEYS = "public-keys:\n  test-key:\n    id: {id}\n    armor: |\n{armor}\n"


def release_file(release_format: str = "v1", archives: str = "", maintenance: str = "") -> str:
    """Return a ``chisel.yaml``; ``archives`` replaces the only archive, ``maintenance`` the dates."""
    keys = _KEYS.format(id=KEY_ID, armor="\n".join(f"      {line}" for line in ARMOR.splitlines()))
    default = (
        "archives:\n  debian: {version: '12', components: [main], suites: [bookworm],"
        " public-keys: [test-key]}\n"
    )
    dates = "maintenance: {standard: 2023-06-10, end-of-life: 2028-06-30}\n"
    return f"format: {release_format}\n{maintenance or dates}{archives or default}{keys}"


def write_release(folder: Path, definitions: dict[str, str], chisel_yaml: str = "") -> Path:
    """Write a release whose definitions are given by package name, or by path with ``/``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chisel.yaml").write_text(chisel_yaml or release_file())
    (folder / "slices").mkdir(exist_ok=True)
    for name, text in definitions.items():
        path = folder / (name if "/" in name else f"slices/{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def list_problems(folder: Path) -> list[str]:
    """Return the problems of a release as ``place: message``."""
    release, problems = parse_release(read_files(folder).contents)
    problems = problems or conflicts.find_conflicts(release)
    return [f"{problem.where}: {problem.message}" for problem in sort_problems(problems)]
