"""The names in a piece of source that it does not bind itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Use(NamedTuple):
    """A name where it is read, or a chain of attributes that begins with it."""

    node: ast.Name
    chain: list[ast.Attribute]  # from the inside out: of a.b.c, a.b and a.b.c
    around: frozenset[str]  # what the functions around it bind


def uses(node: ast.AST) -> list[Use]:
    r"""Return the names that a definition reads and does not bind; annotations do not count.

    Examples
    --------
    >>> [use.node.id for use in uses(ast.parse("def f(x: int):\n    y = g.h(x)\n    return y"))]
    ['g']
    """
    return list(_uses(node, frozenset(), []))


def _uses(node: ast.AST, around: frozenset[str], chain: list[ast.Attribute]) -> Iterator[Use]:
    """Go down, with what is bound around the node and the attributes that are taken of it."""
    match node:
        case ast.Name():
            if node.id not in around:
                yield Use(node, chain, around)
            return
        case ast.Attribute():
            yield from _uses(node.value, around, [node, *chain])
            return
        case ast.AnnAssign():
            parts: list[ast.AST | None] = [node.target, node.value]
            for part in parts:
                if part is not None:
                    yield from _uses(part, around, [])
            return
        case ast.arg():
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            outside = [*getattr(node, "decorator_list", []), *node.args.defaults]
            for part in (*outside, *[default for default in node.args.kw_defaults if default]):
                yield from _uses(part, around, [])
            inside = around | bound(node)
            body = node.body if isinstance(node.body, list) else [node.body]
            for part in body:
                yield from _uses(part, inside, [])
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            targets = [name for each in node.generators for name in ast.walk(each.target)]
            around = around | {name.id for name in targets if isinstance(name, ast.Name)}
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, around, [])


def bound(function: Function) -> frozenset[str]:
    """Return the names that a function binds: its arguments, and what it writes to."""
    args = function.args
    own = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    names = {arg.arg for arg in own if arg}
    free: set[str] = set()
    todo: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
    while todo:
        node = todo.pop()
        match node:
            case ast.Name(name, ast.Store() | ast.Del()):
                names.add(name)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                names.add(name)
                continue
            case ast.Import(aliases) | ast.ImportFrom(_, aliases):
                names |= {each.asname or each.name.partition(".")[0] for each in aliases}
            case ast.Nonlocal(others) | ast.Global(others):
                free |= set(others)
            case ast.ExceptHandler(_, str(name)) | ast.MatchAs(_, str(name)) | ast.MatchStar(str(name)):
                names.add(name)
            case ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.Lambda():
                continue
        if not isinstance(node, COMPREHENSIONS):
            todo += ast.iter_child_nodes(node)
        else:  # its targets are its own; what it is made of may hold `:=`
            todo += [n for n in ast.walk(node) if isinstance(n, ast.NamedExpr)]
    return frozenset(names - free)
