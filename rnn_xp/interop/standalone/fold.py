"""What is known of a program makes it shorter: branches that nothing takes go, and names that nothing reads.

A fact says of an expression of a function, as `ast.unparse` writes it, what stands for it; and None, of a
statement, that it is left out. A node that takes the place of another has the place in `span`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

Facts: TypeAlias = Mapping[str, Mapping[str, str | None]]
"""By function, as "Run.forward": what its expressions are."""

Node = TypeVar("Node", bound=ast.AST)
COMPARED: dict[type, Callable[[Any, Any], bool]] = {
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


def fold(tree: ast.Module, facts: Facts) -> ast.Module:
    r"""Return the module with its functions folded by the facts that there are of them.

    Raises
    ------
    LookupError
        If a fact is of nothing that there is: the source has changed, and the facts must.

    Examples
    --------
    >>> source = "def f(x, rng):\n    y = g(rng)\n    if rng is None:\n        return x\n    return y + x"
    >>> print(ast.unparse(fold(ast.parse(source), {"f": {"rng": "None", "g(rng)": "1"}})))
    def f(x, rng):
        return x
    """
    for name, own in facts.items():
        folder = Folder(own)
        for function in _find(tree, name.split(".")):
            function.body = _block(folder, function.body) or [ast.Pass()]
            while _forget(function):
                pass
            folder.met |= {f"parameter {arg}" for arg in _drop(function.args, own)}
        missed = own.keys() - folder.met
        if missed:
            msg = f"{name} holds nothing like {', '.join(sorted(missed))}"
            raise LookupError(msg)
    return tree


def _find(node: ast.AST, path: list[str]) -> list[ast.FunctionDef]:
    """Return the function of that name, within a class perhaps."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and child.name == path[0]:
            if len(path) > 1:
                return _find(child, path[1:])
            return [child] if isinstance(child, ast.FunctionDef) else []
    msg = f"there is no {path[0]}"
    raise LookupError(msg)


class Folder(ast.NodeTransformer):
    """Puts what is known in place, and works out what follows."""

    def __init__(self, facts: Mapping[str, str | None]) -> None:
        self.facts = facts
        self.met: set[str] = set()
        self.kinds = {_kind(text, known) for text, known in facts.items()}

    def visit(self, node: Any) -> Any:
        """Replace the node if there is a fact; else go on within it."""
        if type(node) in self.kinds and not isinstance(getattr(node, "ctx", None), ast.Store):
            text = f"except {_of(node)}" if isinstance(node, ast.ExceptHandler) else ast.unparse(node)
            if text in self.facts:
                self.met.add(text)
                known = self.facts[text]
                return None if known is None else placed(ast.parse(known, mode="eval").body, node)
        folded = super().visit(node)
        return folded if folded is node or not isinstance(folded, ast.expr) else placed(folded, node)

    def generic_visit(self, node: Any) -> Any:
        """Go on within the parts, blocks of statements as such."""
        for name, part in ast.iter_fields(node):
            if name in ("body", "orelse", "finalbody") and isinstance(part, list):
                setattr(node, name, _block(self, part))
            elif isinstance(part, list):
                parts = [self.visit(each) if isinstance(each, ast.AST) else each for each in part]
                setattr(node, name, [each for each in parts if each is not None])
            elif isinstance(part, ast.AST):
                setattr(node, name, self.visit(part))
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """Work out `not`."""
        self.generic_visit(node)
        truth = truth_of(node.operand)
        return ast.Constant(not truth) if isinstance(node.op, ast.Not) and truth is not None else node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Work out comparisons of constants."""
        self.generic_visit(node)
        match node:
            case ast.Compare(ast.Constant(a), [op], [ast.Constant(b)]) if type(op) in COMPARED:
                return ast.Constant(COMPARED[type(op)](a, b))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """Leave out what does not matter; what decides ends it."""
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        values: list[ast.expr] = []
        for value in node.values:
            truth = truth_of(value)
            if truth is None or truth is decides:
                values.append(value)
            if truth is decides:
                break
        if len(values) == len(node.values):
            return node
        if len(values) > 1:
            return ast.BoolOp(node.op, values)
        return values[0] if values else ast.Constant(not decides)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """Choose."""
        self.generic_visit(node)
        truth = truth_of(node.test)
        return node if truth is None else node.body if truth else node.orelse

    def visit_Match(self, node: ast.Match) -> ast.stmt:
        """Leave out the cases that a fact takes the pattern of."""
        self.generic_visit(node)
        node.cases = [case for case in node.cases if getattr(case, "pattern", None) is not None]
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.pattern | None:
        """Leave out the pattern of a class that there is a fact of."""
        name = f"case {ast.unparse(node.cls)}"
        self.met |= {name} & self.facts.keys()
        return None if name in self.facts else node

    def visit_MatchOr(self, node: ast.MatchOr) -> ast.pattern | None:
        """Leave out those patterns."""
        kept = [each for each in map(self.visit, node.patterns) if each is not None]
        if len(kept) == len(node.patterns):
            return node
        return placed(ast.MatchOr(kept) if len(kept) > 1 else kept[0], node) if kept else None

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        """Mark a case whose pattern goes."""
        node.pattern = self.visit(node.pattern)
        if node.pattern is not None:
            node.body = _block(self, node.body)
        return node


def _kind(text: str, known: str | None) -> type:
    """Return the type of the nodes that may be written like this."""
    if text.startswith(("except ", "case ", "parameter ")):
        return ast.ExceptHandler
    stmt = ast.parse(text).body[0]
    return type(stmt) if known is None or not isinstance(stmt, ast.Expr) else type(stmt.value)


def truth_of(node: ast.expr) -> bool | None:
    """Return whether an expression is true; None: it depends."""
    return bool(node.value) if isinstance(node, ast.Constant) else None


def placed(new: Node, old: Any) -> Node:
    """Give a node the place of another one in the source."""
    new.span = getattr(old, "span", None) or place(old)  # type: ignore[attr-defined]
    return new


def place(node: Any) -> tuple[int, int, int, int]:
    """Return where a node begins and ends: line, byte, line, byte."""
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _of(handler: ast.ExceptHandler) -> str:
    return ast.unparse(handler.type) if handler.type else ""


def _block(folder: Folder, block: list[ast.stmt]) -> list[ast.stmt]:
    """Fold statements, as far as they are reached."""
    result: list[ast.stmt] = []
    for stmt in block:
        folded = folder.visit(stmt)
        match folded:
            case None | ast.Expr(ast.Constant(None)):
                continue
            case ast.If(test, body, orelse) if truth_of(test) is not None:
                result += body if truth_of(test) else orelse
            case ast.If(body=[], orelse=[]):
                continue
            case ast.Try(body, [], [], []):
                result += body
            case _:
                result.append(folded)
        if result and isinstance(result[-1], ast.Return | ast.Raise):
            break
    return result


def _drop(arguments: ast.arguments, facts: Mapping[str, str | None]) -> list[str]:
    """Take away the arguments that are left out; return them."""
    names = [arg.arg for arg in (*arguments.args, *arguments.kwonlyargs)]
    gone = [name for name in names if f"parameter {name}" in facts]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    kept = [(arg, default) for arg, default in named if arg.arg not in gone]
    arguments.kwonlyargs, arguments.kw_defaults = [arg for arg, _ in kept], [default for _, default in kept]
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    places = [
        (arg, default) for arg, default in zip(arguments.args, defaults, strict=True) if arg.arg not in gone
    ]
    arguments.args = [arg for arg, _ in places]
    arguments.defaults = [default for _, default in places if default is not None]
    return gone


def _forget(function: ast.FunctionDef) -> bool:
    """Leave out what is bound without a call and never read; say whether there was any."""
    read = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    found = False

    def is_dead(target: ast.expr, value: ast.expr | None) -> bool:
        calls = value is None or any(isinstance(n, ast.Call | ast.Await | ast.Yield) for n in ast.walk(value))
        name = isinstance(target, ast.Name) and target.id
        itself = isinstance(value, ast.Name) and value.id == name
        return bool(name) and (itself or (name not in read and not calls))

    def kept(stmt: ast.stmt) -> ast.stmt | None:
        nonlocal found
        match stmt:
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)) if len(targets) == len(values):
                alive = [pair for pair in zip(targets, values, strict=True) if not is_dead(*pair)]
                if len(alive) == len(targets):
                    return stmt
                found = True
                if not alive:
                    return None
                left, right = ([pair[k] for pair in alive] for k in (0, 1))
                if len(alive) > 1:
                    stmt.targets = [placed(ast.Tuple(left, ast.Store()), stmt.targets[0])]
                    stmt.value = placed(ast.Tuple(right, ast.Load()), stmt.value)
                else:
                    stmt.targets = [placed(left[0], stmt.targets[0])]
                    stmt.value = placed(right[0], stmt.value)
                return stmt
            case ast.Assign([target], value) | ast.AnnAssign(target, _, value) if is_dead(target, value):
                found = True
                return None
            case ast.Nonlocal(names) if not set(names) & read:
                found = True
                return None
        for name in ("body", "orelse", "finalbody"):
            block = getattr(stmt, name, None)
            if isinstance(block, list):
                setattr(stmt, name, [each for each in map(kept, block) if each is not None])
        for case in getattr(stmt, "cases", []):
            case.body = [each for each in map(kept, case.body) if each is not None]
        gone = isinstance(stmt, ast.If) and not stmt.body and not stmt.orelse
        found = found or gone
        return None if gone else stmt

    function.body = [each for each in map(kept, function.body) if each is not None]
    return found
