"""License policies: a file of rules for the licenses of an image's packages.

```yaml
allow: [MIT, Apache-2.0, BSD-*]      # if given, everything else is forbidden
deny: [AGPL-*, LicenseRef-*]
except: {bash: [GPL-3.0-or-later]}   # licenses that a package may have nevertheless
unknown: deny                        # packages without a known license (default: allow)
```

Names are SPDX identifiers; case does not matter, and ``*`` matches anything. Of licenses joined by OR, one
must be allowed; of licenses joined by AND, all must be.
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
    """A package with a license that the policy forbids; ``license`` is the forbidden operand."""

    package: str
    license: str
    expression: str


def read_policy(data: bytes, name: str) -> Policy:
    """Return the policy in ``data``; ``name`` is the file for errors. Raises RecipeError or FormatError."""
    from pumice.formats import yaml

    if len(data) > _MAX_POLICY:
        raise FormatError("the policy is larger than 1 MiB", where=name)
    document = yaml.read_document(data, name)
    if document.problems:
        raise RecipeError(document.problems)
    try:
        return msgspec.convert(_to_builtins(document.root), Policy)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "'").replace("Object contains unknown field", "unknown rule")
        problem = Problem(
            f"invalid policy: {reason[:1].lower()}{reason[1:]}",
            where=name,
            hint="use the rules allow, deny, except and unknown",
        )
        raise RecipeError([problem]) from None


def _to_builtins(node: object) -> object:
    from pumice.formats.yaml import Mapping, Scalar
    from pumice.formats.yaml import Sequence as Items

    if isinstance(node, Mapping):
        return {key.text: _to_builtins(value) for key, value in node.items}
    if isinstance(node, Items):
        return [_to_builtins(item) for item in node.items]
    return node.text if isinstance(node, Scalar) else {}


def find_violations(packages: Sequence[Package], policy: Policy) -> list[Violation]:
    """Return the violations of a policy, in the order of the packages."""
    violations = []
    for package in packages:
        expression = package.license
        if expression == "NOASSERTION":
            if policy.unknown == "deny":
                violations.append(Violation(package.name, "unknown", expression))
            continue
        exceptions = policy.exceptions.get(package.name, ())
        forbidden = _find_forbidden(expression, policy, exceptions)
        if forbidden:
            violations.append(Violation(package.name, forbidden, expression))
    return violations


def _find_forbidden(expression: str, policy: Policy, granted: Sequence[str]) -> str:
    """Return the first forbidden license, ``""`` if the expression is allowed."""
    return _ExpressionReader(re.findall(r"[()]|[^\s()]+", expression), policy, granted).alternatives()


class _ExpressionReader:
    """A recursive descent parser of SPDX expressions (annex D), with the precedence WITH, AND, OR."""

    def __init__(self, words: list[str], policy: Policy, granted: Sequence[str]) -> None:
        self._words = words
        self._position = 0
        self._policy = policy
        self._granted = granted

    def alternatives(self) -> str:
        forbidden = [self._conjunction()]
        while self._take("OR"):
            forbidden.append(self._conjunction())
        return "" if "" in forbidden else forbidden[0]

    def _conjunction(self) -> str:
        forbidden = [self._operand()]
        while self._take("AND"):
            forbidden.append(self._operand())
        return next((violations for violations in forbidden if violations), "")

    def _operand(self) -> str:
        if self._take("("):
            violations = self.alternatives()
            self._take(")")
            return violations
        name = self._next()
        if self._take("WITH"):
            name = f"{name} WITH {self._next()}"
        return "" if self._is_allowed(name) else name

    def _is_allowed(self, name: str) -> bool:
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
