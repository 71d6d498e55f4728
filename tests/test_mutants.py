"""The mistakes that the mutation run plants: which they are, and that each is where it is said to be."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest
from mutation.mutants import mutants, planted

import rnn_xp

PACKAGE = Path(rnn_xp.__file__).parent
SOURCE = '''
"""A file."""
from __future__ import annotations
Name: TypeAlias = str | int
def f(x: A | None, *, scale: float = 0.5, xp) -> B:
    """Return it."""
    if x is None:
        msg = "must" + "be"
        raise ValueError(msg)
    y = xp.maximum(x[t, 1:], -scale)
    y -= g(x, y, xp=xp, axis=0)
    return y
'''
EXPECTED = {
    ("constant", "0.5", "1.0"),
    ("comparison", "x is None", "x is not None"),
    ("statement", "if x is None:", "pass"),
    ("function", "xp.maximum(x[t, 1:], -scale)", "xp.minimum(x[t, 1:], -scale)"),
    ("index", "x[t, 1:]", "x[t - 1, 1:]"),
    ("index", "x[t, 1:]", "x[t, :]"),
    ("index", "x[t, 1:]", "x[1:, t]"),
    ("constant", "1", "2"),
    ("constant", "1", "0"),
    ("sign", "-scale", "scale"),
    ("arithmetic", "y -= g(x, y, xp=xp, axis=0)", "y += g(x, y, xp=xp, axis=0)"),
    ("operand", "y -= g(x, y, xp=xp, axis=0)", "y = g(x, y, xp=xp, axis=0)"),
    ("statement", "y -= g(x, y, xp=xp, axis=0)", "pass"),
    ("argument", "g(x, y, xp=xp, axis=0)", "g(y, x, xp=xp, axis=0)"),
    ("argument", "g(x, y, xp=xp, axis=0)", "g(x, y, xp=xp)"),
    ("constant", "0", "1"),
}


def test_the_mutants_of_a_function() -> None:
    found = mutants("f.py", SOURCE)
    assert {(mutant.operator, mutant.before, mutant.after) for mutant in found} == EXPECTED
    assert len(found) == len(EXPECTED)
    assert {mutant.function for mutant in found} == {"f"}
    original = ast.unparse(ast.parse(SOURCE))
    for mutant in found:
        changed = ast.unparse(planted(SOURCE, mutant))
        assert SOURCE.splitlines()[mutant.line - 1].strip() == mutant.text
        if mutant.operator != "statement":
            assert mutant.before in original
            assert mutant.after in changed
        assert changed != original


def test_alike_mutants_of_a_line_have_different_keys() -> None:
    found = mutants("f.py", "def f():\n    return g(1, 1)\n")
    assert [mutant.nth for mutant in found if mutant.after == "2"] == [0, 1]
    assert len({mutant.key for mutant in found}) == len(found)


@pytest.mark.parametrize("file", ["sequence/run.py", "optim.py", "cells/gru.py", "layers/recurrent.py"])
def test_every_mutant_compiles_and_is_a_change(file: str) -> None:
    source = (PACKAGE / file).read_text(encoding="utf-8")
    found = mutants(file, source)
    assert len(found) > 100
    assert len({mutant.key for mutant in found}) == len(found)
    for mutant in random.Random(0).sample(found, 25):
        tree = planted(source, mutant)
        compile(tree, file, "exec")
        assert ast.dump(tree) != ast.dump(ast.parse(source))
