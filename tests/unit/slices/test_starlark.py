"""The language of scripts as a table, and its limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.slices.starlark.budget import Budget, ScriptError
from pumice.slices.starlark.interpreter import run_script

EXPRESSIONS = [
    # Values and operators
    ("1 + 2 * 3", 7),
    ("7 // 2, -7 // 2, 7 % 3, -7 % 3", (3, -4, 1, 2)),
    ("1 << 4 | 1, 6 & 3, 6 ^ 3, ~1, 16 >> 2", (17, 2, 5, -2, 4)),
    ("0x10 + 0o10 + 0b10", 26),
    ("'a' + \"b\" * 2", "abb"),
    ("[1] + [2] * 2, (1,) + (2,)", ([1, 2, 2], (1, 2))),
    ("True == 1, 1 == '1', [1] == [1], (1,) == [1]", (False, False, True, False)),
    ("1 < 2, 'a' < 'b', [1, 2] < [1, 3], 'Z' < 'a'", (True, True, True, True)),
    ("None or 1, 0 and 1, not [], not 'a'", (1, 0, True, False)),
    ("1 if [] else 2", 2),
    ("2 in [1, 2], 'b' in 'abc', 'k' in {'k': 1}, 3 not in (1,)", (True, True, True, True)),
    ("'%s-%d-%r-%%' % ('a', 3, 'b')", 'a-3-"b"-%'),
    ("'%s' % [1, 'a']", '[1, "a"]'),
    ("{'a': 1} | {'b': 2}", {"a": 1, "b": 2}),
    # Strings are bytes
    ("len('ä'), len('a'), 'äb'[2], 'äb'[:2]", (2, 1, "b", "ä")),
    ("'abc'[1], 'abc'[-1], 'abcd'[1:3], 'abcd'[::-1]", ("b", "c", "bc", "dcba")),
    # Methods
    ("','.join(['a', 'b']), 'a,b'.split(','), 'a b  c'.split(), 'a,b,c'.split(',', 1)", ("a,b", ["a", "b"], ["a", "b", "c"], ["a", "b,c"])),
    ("'a\\nb\\n'.splitlines(), 'a\\nb'.splitlines(True)", (["a", "b"], ["a\n", "b"])),
    ("' a '.strip(), 'xax'.lstrip('x'), 'a\\n'.rstrip()", ("a", "ax", "a")),
    ("'{} {}'.format(1, 'b'), '{1}{0}'.format(1, 2), '{a}{{}}'.format(a=3)", ("1 b", "21", "3{}")),
    ("'{!r}'.format('a')", '"a"'),
    ("'abc'.replace('b', 'xx'), 'aaa'.replace('a', 'b', 2)", ("axxc", "bba")),
    ("'abc'.startswith('a'), 'abc'.endswith(('x', 'c')), 'abc'.find('c'), 'abc'.count('b')", (True, True, 2, 1)),
    ("'aB'.upper(), 'aB'.lower(), 'a-b'.partition('-'), 'xa'.removeprefix('x')", ("AB", "ab", ("a", "-", "b"), "a")),
    ("{'a': 1}.keys(), {'a': 1}.items(), {'a': 1}.get('b', 2), {'a': 1}.values()", (["a"], [("a", 1)], 2, [1])),
    # Functions
    ("len([1, 2]), len({}), list(range(3)), list(range(1, 7, 2))", (2, 0, [0, 1, 2], [1, 3, 5])),
    ("sorted(['b', 'a']), sorted([1, 3, 2], reverse=True), sorted(['bb', 'a'], key=len)", (["a", "b"], [3, 2, 1], ["a", "bb"])),
    ("str(1), str('a'), str([1, 'a', None]), repr('a'), str((1,))", ("1", "a", '[1, "a", None]', '"a"', "(1,)")),
    ("enumerate(['a'], 1), zip([1, 2], ['a', 'b']), reversed([1, 2])", ([(1, "a")], [(1, "a"), (2, "b")], [2, 1])),
    ("int('12'), int(True), bool(''), type('a'), type(1), dict([('a', 1)]), min(2, 1), max([1, 3])", (12, 1, False, "string", "int", {"a": 1}, 1, 3)),
    ("any([0, 1]), all([0, 1]), tuple([1])", (True, False, (1,))),
    # Comprehensions and lambdas
    ("[x * y for x in [1, 2] for y in [3, 4] if y > 3]", [4, 8]),
    ("{k: v for k, v in [('a', 1)]}", {"a": 1}),
    ("(lambda x, y=2: x + y)(1)", 3),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS)
def test_expressions(expression: str, value: object) -> None:
    assert run_script(f"x = {expression}", {})["x"] == value


STATEMENTS = [
    (
        "x = []\nfor i in range(5):\n  if i == 1:\n    continue\n  elif i == 3:\n    break\n  x.append(i)",
        [0, 2],
    ),
    ("def f(a, b=2):\n  return a + b\nx = f(1), f(1, b=3)", (3, 4)),
    ("def f(n):\n  def g():\n    return n\n  return g\nx = f(3)()", 3),
    ("def f():\n  pass\nx = f()", None),
    ("x = 1\nx += 2\nx *= 3", 9),
    ("x = [1]\ny = x\ny += [2]", [1, 2]),
    ("a, (b, c) = 1, [2, 3]\nx = [a, b, c]", [1, 2, 3]),
    ("x = {}\nx['a'] = 1\nx['a'] += 1", {"a": 2}),
    ("x = [1, 2]\nx[0] = 3\nx.extend([4])\nx.insert(0, 5)\nx.pop()\nx.remove(2)", [5, 3]),
    ("x = {'a': 1}\nx.update({'b': 2})\nx.pop('a')\nx.setdefault('c', 3)", {"b": 2, "c": 3}),
    ("x = 1\ndef f():\n  x = 2\nf()", 1),
    ("x = [i for i in [1, 2]]", [1, 2]),
]


@pytest.mark.parametrize(("script", "value"), STATEMENTS)
def test_statements(script: str, value: object) -> None:
    assert run_script(script, {})["x"] == value


REFUSED = [
    # Not part of the language
    ("while True:\n  pass", "'while' is not part of the language"),
    ("import os", "'import' is not part of the language"),
    ("class A:\n  pass", "'class' is not part of the language"),
    ("try:\n  x = 1\nfinally:\n  pass", "'try' is not part of the language"),
    ("x = 1 < 2 < 3", "comparisons cannot be chained"),
    ("x = {1}", "a set is not part of the language"),
    ("x = f'{1}'", "an f-string is not part of the language"),
    ("x = 1.5", "a float is not part of the language"),
    ("x = b'a'", "a bytes is not part of the language"),
    ("x = 2 ** 3", "'**' is not part of the language"),
    ("x = 1 is 1", "'is' is not part of the language"),
    ("x = y = 1", "assign to one target at a time"),
    ("f(*[1])", "'*' is not part of the language"),
    ("for x in [1]:\n  pass\nelse:\n  pass", "a loop cannot have 'else'"),
    ("global x", "'global' is not part of the language"),
    # Values
    ("for c in 'ab':\n  pass", "a value of type string cannot be iterated"),
    ("x = 1 + 'a'", "'+' does not work on int and string"),
    ("x = 1 < 'a'", "cannot compare int and string"),
    ("x = [1][5]", "the index 5 is out of range"),
    ("x = {}['a']", "the dict has no key \"a\""),
    ("x = {[]: 1}", "a value of type list cannot be a key"),
    ("x = 1 // 0", "division by zero"),
    ("x = (1, 2)\nx[0] = 1", "the items of a tuple cannot change"),
    ("a, b = [1]", "cannot unpack 1 values into 2"),
    ("x = y", "'y' is not defined"),
    ("x = 1\ndef f():\n  y = x\n  x = 2\nf()", "'x' is used before it has a value"),
    ("x = len", None),
    ("x = 'a'.nosuch()", "a value of type string has no method 'nosuch'"),
    ("x = 'a'.__class__", "call the method '__class__' where it is named"),
    ("x = 'a'.__class__()", "has no method '__class__'"),
    ("x = '{0.__class__}'.format(1)", "format does not support this replacement field"),
    ("x = [1]\nfor i in x:\n  x.append(i)", "the list cannot change while a loop runs over it"),
    ("x = {'a': 1}\nfor i in x:\n  x['b'] = 1", "the dict cannot change while a loop runs over it"),
    ("def f():\n  f()\nf()", "a function cannot call itself"),
    ("def f():\n  g()\ndef g():\n  f()\nf()", "a function cannot call itself"),
    ("x = content", "call a method of 'content'"),
    ("content = 1", "'content' cannot be assigned"),
    ("content.remove('/x')", "content has no method 'remove'"),
    ("fail('why', 1)", "fail: why 1"),
    ("return 1", "outside of a loop or function"),
    ("break", "outside of a loop or function"),
    ("x = (", "invalid syntax"),
    ("len(1, 2, 3)", "the call has arguments that the function does not take"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "problem"), REFUSED)
def test_what_is_refused(script: str, problem: str | None) -> None:
    if problem is None:
        run_script(script, {"content": {}})
        return
    with pytest.raises(ScriptError) as refused:
        run_script(script, {"content": {}})
    assert problem in refused.value.message
    assert refused.value.line > 0


BOMBS = [
    "for i in range(1 << 30):\n  pass",
    "x = [i for i in range(100000) for j in range(100000)]",
    "x = 'a' * (1 << 40)",
    "x = [0] * (1 << 40)",
    "x = 'a'\nfor i in range(100):\n  x += x",
    "x = [0]\nfor i in range(100):\n  x += x",
    "x = 2\nfor i in range(100):\n  x = x * x",
    "x = 1 << 100000",
    "x = ('a' * 100000).replace('a', 'b' * 100000)",
    "x = ('b' * 10000).join(['a'] * 1000000)",
    "x = '%s' % ('a' * 1000) * 1000000",
    "x = []\nx.append(x)\ny = str(x)",
    "x = []\nx.append(x)\ny = x == [x]",
    "x = ()\nfor i in range(100000):\n  x = (x,)\ny = {x: 1}",
    "x = ()\nfor i in range(100000):\n  x = (x,)\ny = str(x)",
    "x = list(range(1 << 39))",
    "x = " + "(" * 5000 + ")" * 5000,
    "x = " + "[" * 150 + "]" * 150,
    "x = " + "-" * 5000 + "1",
    "x = " + "+".join(["1"] * 10000),
    "x = " + "not " * 5000 + "1",
    "x = " + "9" * 5000,
    "x = " + "9" * 4000,
    "x = 1\n" * 40000,
    "x = sorted(range(1 << 30))",
    "x = ',' * 60000000\ny = x.split(',')\nz = x.split(',')",
    "x = [str(i) * 1000 for i in range(1000000)]",
]  # fmt: skip


@pytest.mark.parametrize("script", BOMBS, ids=range(len(BOMBS)))
def test_bombs_are_stopped(script: str) -> None:
    with pytest.raises(ScriptError) as stopped:
        run_script(script, {}, Budget(steps=100_000))
    assert stopped.value.message


@given(st.text(alphabet="abx=+*()[]{}:, \n'\"%.0123456789fornilde", max_size=60))
def test_any_text_runs_or_is_refused(script: str) -> None:
    try:
        run_script(script, {"content": {}}, Budget(steps=5_000, cells=1 << 16))
    except ScriptError as error:
        assert error.message


@given(st.binary(max_size=40))
def test_any_content_can_be_read_and_written_unchanged(data: bytes) -> None:
    written: dict[str, str] = {}
    content: dict[str, Callable[..., object]] = {
        "read": lambda path: data.decode("utf-8", "surrogateescape"),
        "write": written.__setitem__,
    }
    run_script(
        "content.write('/x', ''.join([content.read('/a')]) + '')\ny = content.read('/a')[:]",
        {"content": content},
    )
    assert written["/x"].encode("utf-8", "surrogateescape") == data
