"""Which licenses are welcome: a small file of rules, applied to an image's packages.

```yaml
allow: [MIT, Apache-2.0, BSD-*]      # if given, everything else is forbidden
deny: [AGPL-*, LicenseRef-*]
except: {bash: [GPL-3.0-or-later]}   # a package and what it may have all the same
unknown: deny                        # packages of which nobody can tell; allow is the default
```

Names are SPDX identifiers and compared without regard to case, ``*`` stands for anything. Of licenses
joined by OR one that is welcome is enough; of those joined by AND each must be.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import FormatError, Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.evidence.facts import Package

_MAX_POLICY = 1 << 20


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules; ``exceptions`` are by package name."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    exceptions: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict, name="except")
    unknown: Literal["allow", "deny"] = "allow"


class Violation(msgspec.Struct, frozen=True):
    """A package whose license the policy forbids, and which part of it."""

    package: str
    license: str
    expression: str


def read(data: bytes, name: str) -> Policy:
    """Read a policy; ``name`` is what to call the file. Raises RecipeError or FormatError."""
    from pumice.formats import yaml

    if len(data) > _MAX_POLICY:
        raise FormatError("the policy is larger than 1 MiB", where=name)
    document = yaml.read_document(data, name)
    if document.problems:
        raise RecipeError(document.problems)
    try:
        return msgspec.convert(_plain(document.root), Policy)
    except msgspec.ValidationError as error:
        said = str(error).replace("`", "'").replace("Object contains unknown field", "there is no rule")
        problem = Problem(
            f"the policy does not fit: {said[:1].lower()}{said[1:]}",
            where=name,
            hint="rules are allow, deny, except and unknown",
        )
        raise RecipeError([problem]) from None


def _plain(node: object) -> object:
    from pumice.formats.yaml import Mapping, Scalar
    from pumice.formats.yaml import Sequence as Items

    if isinstance(node, Mapping):
        return {key.text: _plain(value) for key, value in node.items}
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    return node.text if isinstance(node, Scalar) else {}


def check(packages: Sequence[Package], policy: Policy) -> list[Violation]:
    """Return what a policy forbids, in the order of the packages."""
    found = []
    for package in packages:
        expression = package.license
        if expression == "NOASSERTION":
            if policy.unknown == "deny":
                found.append(Violation(package.name, "unknown", expression))
            continue
        granted = policy.exceptions.get(package.name, ())
        bad = _forbidden(expression, policy, granted)
        if bad:
            found.append(Violation(package.name, bad, expression))
    return found


def _forbidden(expression: str, policy: Policy, granted: Sequence[str]) -> str:
    """Return the first license that stands in the way, nothing if the expression is welcome."""
    return _Reader(re.findall(r"[()]|[^\s()]+", expression), policy, granted).alternatives()


class _Reader:
    """Recursive descent over an SPDX expression (annex D): OR binds weakest, then AND, then WITH."""

    def __init__(self, words: list[str], policy: Policy, granted: Sequence[str]) -> None:
        self._words = words
        self._position = 0
        self._policy = policy
        self._granted = granted

    def alternatives(self) -> str:
        found = [self._all()]
        while self._take("OR"):
            found.append(self._all())
        return "" if "" in found else found[0]

    def _all(self) -> str:
        found = [self._one()]
        while self._take("AND"):
            found.append(self._one())
        return next((bad for bad in found if bad), "")

    def _one(self) -> str:
        if self._take("("):
            bad = self.alternatives()
            self._take(")")
            return bad
        name = self._next()
        if self._take("WITH"):
            name = f"{name} WITH {self._next()}"
        return "" if self._is_welcome(name) else name

    def _is_welcome(self, name: str) -> bool:
        if _matches(name, self._granted):
            return True
        if _matches(name, self._policy.deny):
            return False
        return not self._policy.allow or _matches(name, self._policy.allow)

    def _take(self, word: str) -> bool:
        if self._position < len(self._words) and self._words[self._position] == word:
            self._position += 1
            return True
        return False

    def _next(self) -> str:
        self._position += 1
        return self._words[self._position - 1] if self._position <= len(self._words) else "unknown"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    base = name.partition(" WITH ")[0]
    return any(fnmatchcase(form.lower(), pattern.lower()) for pattern in patterns for form in {name, base})
