"""Small mistakes, one at a time, in the syntax tree of a file of the package.

A mutant changes an operator, a comparison, a condition, a number, an index, a sign or an argument, or leaves
a statement out. Strings, annotations, decorators, imports and blocks that raise stay as they are; so does
what could only crash (a missing `xp`, a name that is never bound) or change nothing (the order of a maximum).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Pow, ast.MatMult)
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
BUILT_IN = {"min": "max", "max": "min", "any": "all", "all": "any"}
METHODS = {  # functions of the namespace, and what is easily written instead
    **BUILT_IN,
    "maximum": "minimum",
    "minimum": "maximum",
    "logaddexp": "maximum",
    "sum": "mean",
    "mean": "sum",
    "exp": "expm1",
    "log": "log1p",
    "zeros": "ones",
    "ones": "zeros",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
}
POINTWISE = {"tanh", "sigmoid", "exp", "log", "sqrt", "abs"}
COMMUTATIVE = {"maximum", "minimum", "logaddexp", "max", "min"}
TYPES = {"Callable", "dict", "list", "tuple", "type"}  # whose brackets hold no index
FIXED = {"xp", "strict"}  # keywords: without the first nothing runs, the second only guards


class Mutant(NamedTuple):
    """A mistake: where it is, and what it does."""

    file: str  # below rnn_xp/
    function: str  # with its class; "" outside of functions and classes
    line: int
    text: str  # of that line
    operator: str
    before: str
    after: str
    nth: int  # among those that are alike in all of this but the line
    place: int  # of the node among all of the file
    choice: int  # among the variants of the node

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it as long as its line is what it is, wherever that moves."""
        return self.file, self.function, self.text, self.operator, self.before, self.after, self.nth


class Site(NamedTuple):
    """A node that may be changed."""

    node: Any
    function: str
    deletable: bool
    put: Callable[[ast.AST], None]


def mutants(file: str, source: str) -> list[Mutant]:
    """Return every mutant of a file."""
    lines = source.splitlines()
    found: list[Mutant] = []
    alike: Counter[tuple[Any, ...]] = Counter()
    for place, site in enumerate(sites(ast.parse(source))):
        for choice, (operator, new) in enumerate(variants(site)):
            before, after = (ast.unparse(node).splitlines()[0] for node in (site.node, new))
            line: int = site.node.lineno
            text = lines[line - 1].strip()
            nth = alike[site.function, text, operator, before, after]
            alike[site.function, text, operator, before, after] += 1
            found.append(Mutant(file, site.function, line, text, operator, before, after, nth, place, choice))
    return found


def planted(source: str, mutant: Mutant) -> ast.Module:
    """Return the tree of the file with the mistake in it."""
    tree = ast.parse(source)
    site = next(islice(sites(tree), mutant.place, None))
    _, new = variants(site)[mutant.choice]
    site.put(ast.copy_location(new, site.node))
    return ast.fix_missing_locations(tree)


def sites(node: ast.AST, function: str = "", bound: set[str] | None = None) -> Iterator[Site]:
    """Yield the nodes that may be changed, in the order of the source."""
    bound = set() if bound is None else bound
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
        bound = set()
    if isinstance(node, ast.arg):
        bound.add(node.arg)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        children = value if isinstance(value, list) else [value]
        if children and isinstance(children[-1], ast.Raise):
            continue
        for index, child in enumerate(children):
            if not isinstance(child, ast.expr | ast.stmt | ast.arguments | ast.arg | ast.comprehension):
                if isinstance(child, ast.keyword) and child.arg not in FIXED:
                    yield from sites(child, function, bound)
                continue
            if isinstance(child, ast.Import | ast.ImportFrom | ast.JoinedStr) or _is_alias(child):
                continue

            def put(new: ast.AST, field: str = field, value: Any = value, index: int = index) -> None:
                if isinstance(value, list):
                    value[index] = new
                else:
                    setattr(node, field, new)

            if isinstance(child, ast.expr | ast.stmt):
                yield Site(child, function, _deletable(child, function, bound), put)
            yield from sites(child, function, bound)
            bound |= _targets(child)


def _is_alias(node: ast.AST) -> bool:
    """Return whether a statement names a type."""
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"


def _targets(node: ast.AST) -> set[str]:
    """Return the names that a statement binds."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {
        name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)
    }


def _deletable(node: ast.AST, function: str, bound: set[str]) -> bool:
    """Return whether the function still runs without this statement, for all that can be seen."""
    match node:
        case ast.Assign([ast.Attribute()]):
            return not function.endswith("__init__")
        case ast.Assign([ast.Subscript()]) | ast.AugAssign() | ast.For() | ast.Continue():
            return True
        case ast.Assign([ast.Name() | ast.Tuple()]):
            return _targets(node) <= bound
        case ast.Expr(value):
            return not isinstance(value, ast.Constant)
        case ast.If(orelse=[]):
            return True
    return False


def variants(site: Site) -> list[tuple[str, ast.AST]]:
    """Return what a node may be changed to, each with the kind of mistake that it is."""
    seen = {ast.unparse(site.node)}
    found = []
    for operator, new in _variants(site.node):
        text = ast.unparse(ast.fix_missing_locations(new))
        if text not in seen:
            seen.add(text)
            found.append((operator, new))
    if site.deletable:
        found.append(("statement", ast.Pass()))
    return found


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the kinds of mistake and what they make of a node."""
    match node:
        case ast.BinOp(left, op, right):
            if type(op) in ARITHMETIC:
                yield "arithmetic", ast.BinOp(left, ARITHMETIC[type(op)](), right)
            yield "operand", left
            yield "operand", right
            if isinstance(op, ORDERED):
                yield "operand", ast.BinOp(right, op, left)
            if isinstance(op, ast.Mult):
                yield "sign", ast.UnaryOp(ast.USub(), node)
        case ast.AugAssign(target, op, value):
            if type(op) in ARITHMETIC:
                yield "arithmetic", ast.AugAssign(target, ARITHMETIC[type(op)](), value)
            yield "operand", ast.Assign([target], value)
        case ast.UnaryOp(ast.USub(), operand):
            yield "sign", operand
        case ast.UnaryOp(ast.Not() | ast.Invert(), operand):
            yield "boolean", operand
        case ast.Compare(left, [op], right):
            for other in COMPARISONS[type(op)]:
                yield "comparison", ast.Compare(left, [other()], right)
        case ast.BoolOp(op, values):
            yield "boolean", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for index in range(len(values)):
                rest = values[:index] + values[index + 1 :]
                yield "boolean", rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.If(test, body, orelse):
            if not isinstance(test, ast.Compare | ast.UnaryOp):
                yield "boolean", ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(test, body, orelse):
            yield "boolean", ast.IfExp(test, orelse, body)
        case ast.Constant(bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int(value)):
            yield "constant", ast.Constant(value + 1)
            if value > 0:
                yield "constant", ast.Constant(value - 1)
        case ast.Constant(float(value)):
            yield "constant", ast.Constant(2.0 * value or 1.0)
            if value == 1.0:
                yield "constant", ast.Constant(0.0)
        case ast.Subscript(value, index, ctx) if getattr(value, "id", None) not in TYPES:
            for new in _indices(index):
                yield "index", ast.Subscript(value, new, ctx)
        case ast.Attribute(value, "T", ast.Load()) if ast.unparse(value) != "self":
            yield "index", value
        case ast.Call():
            yield from _calls(node)


def _indices(index: ast.expr) -> Iterator[ast.expr]:
    """Yield other indices."""
    one = ast.Constant(1)
    match index:
        case ast.Tuple([*axes], ctx):
            for place, axis in enumerate(axes):
                for new in _indices(axis):
                    yield ast.Tuple([*axes[:place], new, *axes[place + 1 :]], ctx)
            for first, second in ((place, place + 1) for place in range(len(axes) - 1)):
                yield ast.Tuple([*axes[:first], axes[second], axes[first], *axes[second + 1 :]], ctx)
        case ast.Slice(lower, upper, step):
            if lower is not None:
                yield ast.Slice(None, upper, step)
                if not isinstance(lower, ast.Constant):
                    yield ast.Slice(ast.BinOp(lower, ast.Add(), one), upper, step)
            if upper is not None:
                yield ast.Slice(lower, None, step)
                if not isinstance(upper, ast.Constant):
                    yield ast.Slice(lower, ast.BinOp(upper, ast.Sub(), one), step)
            if step is not None:
                yield ast.Slice(lower, upper, None)
        case ast.Name() | ast.Attribute() | ast.BinOp():
            yield ast.BinOp(index, ast.Sub(), one)


def _calls(call: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """Yield a call with other arguments, or of another function."""
    function, arguments, keywords = call.func, call.args, call.keywords
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    plain = not any(isinstance(argument, ast.Starred) for argument in arguments)
    if plain and name not in COMMUTATIVE:
        for place in range(len(arguments) - 1):
            first, second = arguments[place : place + 2]
            if isinstance(first, ast.Lambda) or isinstance(getattr(first, "value", None), str):
                continue
            swapped = [*arguments[:place], second, first, *arguments[place + 2 :]]
            yield "argument", ast.Call(function, swapped, keywords)
    for place, keyword in enumerate(keywords):
        if keyword.arg not in FIXED:
            yield "argument", ast.Call(function, arguments, keywords[:place] + keywords[place + 1 :])
    table = METHODS if isinstance(function, ast.Attribute) else BUILT_IN
    if name in table:
        other: ast.expr = ast.Name(table[name], ast.Load())
        if isinstance(function, ast.Attribute):
            other = ast.Attribute(function.value, table[name], ast.Load())
        yield "function", ast.Call(other, arguments, keywords)
    if name in POINTWISE and plain and arguments:
        yield "function", arguments[0]
    if name == "tanh" and isinstance(function, ast.Attribute):
        half = ast.Constant(0.5)
        inner = ast.Call(function, [ast.BinOp(half, ast.Mult(), arguments[0])], keywords)
        yield "function", ast.BinOp(ast.BinOp(half, ast.Mult(), inner), ast.Add(), half)
    if name == "sigmoid" and keywords:
        tanh = ast.Attribute(keywords[0].value, "tanh", ast.Load())
        yield "function", ast.Call(tanh, arguments, [])
