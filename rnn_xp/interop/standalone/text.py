"""Definitions as text: their own lines, but for what was folded away, renamed or annotated."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

from rnn_xp.interop.standalone.fold import place

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
WIDTH = 110
_REMARK = re.compile(r"\s+# (type: ignore|noqa)[^#]*")


class Printer:
    """Writes what is left of a module's definitions.

    Parameters
    ----------
    lines : sequence of bytes
        Of the module.
    """

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines

    def definition(self, stmt: ast.stmt, name: str, members: Collection[ast.stmt]) -> str:
        """Write a statement at the top of a module; a class with those of its members."""
        match stmt:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return "\n".join(self.function(stmt, 0, name))
            case ast.ClassDef():
                bases = ", ".join([*map(ast.unparse, stmt.bases), *map(ast.unparse, stmt.keywords)])
                lines = [*self.decorators(stmt, 0), f"class {name}({bases}):" if bases else f"class {name}:"]
                lines += _docstring(stmt, 4)
                kept = [member for member in stmt.body if member in members]
                for member in kept:
                    lines += [""] if isinstance(member, Function) or member is kept[0] else []
                    lines += self.statement(member, 4, annotate=_is_record(stmt))
                return "\n".join(lines if len(lines) > 1 else [*lines, "    pass"])
        return "\n".join(self.statement(stmt, 0))

    def function(self, node: Function, indent: int, name: str) -> list[str]:
        """Write a function, without annotations and with one line of its docstring."""
        kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        head = f"{kind} {name}({_arguments(node.args)}):"
        if len(head) + indent > WIDTH:
            head = f"{kind} {name}(\n    {_arguments(node.args)}\n):"
        lines = [*self.decorators(node, indent), *textwrap.indent(head, " " * indent).splitlines()]
        said = _docstring(node, indent + 4)
        body = self.block(node.body[1:] if said else node.body, indent + 4)
        return lines + (said + body or [" " * (indent + 4) + "pass"])

    def decorators(self, node: Function | ast.ClassDef, indent: int) -> list[str]:
        """Write what stands above a definition."""
        return [" " * indent + "@" + ast.unparse(each) for each in node.decorator_list]

    def block(self, block: Sequence[ast.stmt], indent: int) -> list[str]:
        """Write statements."""
        if not block:
            return [" " * indent + "pass"]
        return [
            line for stmt in block for line in (*self.remarks(stmt, indent), *self.statement(stmt, indent))
        ]

    def statement(self, stmt: ast.stmt, indent: int, *, annotate: bool = False) -> list[str]:
        """Write a statement and those within it."""
        match stmt:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                lines = self.function(stmt, indent, stmt.name)
                return lines if indent == 4 else ["", *lines, ""]
            case ast.ClassDef() | ast.With() | ast.AsyncWith() | ast.AsyncFor() | ast.While():
                return _indented(ast.unparse(stmt), indent)
            case ast.Try():
                return self.attempt(stmt, indent)
            case ast.Match():
                lines = _indented(f"match {ast.unparse(stmt.subject)}:", indent)
                for case in stmt.cases:
                    guard = f" if {ast.unparse(case.guard)}" if case.guard else ""
                    lines += _indented(f"case {ast.unparse(case.pattern)}{guard}:", indent + 4)
                    lines += self.block(case.body, indent + 8)
                return lines
            case ast.For():
                lines = self.head(f"for {self.source(stmt.target)} in ", stmt.iter, indent)
                lines += self.block(stmt.body, indent + 4)
                return lines + self.other(stmt.orelse, indent)
            case ast.If():
                return self.condition(stmt, "if", indent)
            case ast.AnnAssign(value=None) if not annotate:
                return []
        return self.plain(stmt, indent, annotate)

    def condition(self, stmt: ast.If, word: str, indent: int) -> list[str]:
        """Write an `if`, or an `elif`."""
        lines = self.head(f"{word} ", stmt.test, indent)
        lines += self.block(stmt.body, indent + 4)
        match stmt.orelse:
            case [ast.If() as other] if self.lines[other.lineno - 1][other.col_offset :].startswith(b"elif"):
                return lines + self.condition(other, "elif", indent)
        return lines + self.other(stmt.orelse, indent)

    def attempt(self, stmt: ast.Try, indent: int) -> list[str]:
        """Write a `try`."""
        lines = [" " * indent + "try:", *self.block(stmt.body, indent + 4)]
        for handler in stmt.handlers:
            kind = f" {ast.unparse(handler.type)}" if handler.type else ""
            name = f" as {handler.name}" if handler.name else ""
            lines += [" " * indent + f"except{kind}{name}:", *self.block(handler.body, indent + 4)]
        lines += self.other(stmt.orelse, indent)
        return lines + self.other(stmt.finalbody, indent, "finally")

    def other(self, block: Sequence[ast.stmt], indent: int, word: str = "else") -> list[str]:
        """Write a last branch, if there is one."""
        return [" " * indent + f"{word}:", *self.block(block, indent + 4)] if block else []

    def head(self, begin: str, value: ast.expr, indent: int) -> list[str]:
        """Write the first line of a compound statement; a long one keeps its own lines."""
        text = ast.unparse(value) if hasattr(value, "span") else self.source(value)
        if "\n" not in text:
            return [" " * indent + begin + text + ":"]
        return [" " * indent + begin + "(", *_indented(text, indent + 4), " " * indent + "):"]

    def remarks(self, stmt: ast.stmt, indent: int) -> list[str]:
        """Return the comments right above a statement."""
        found: list[str] = []
        at = stmt.lineno - 2
        while at >= 0 and (text := self.lines[at].strip()).startswith(b"#"):
            found.insert(0, " " * indent + text.decode())
            at -= 1
        return found

    def plain(self, stmt: ast.stmt, indent: int, annotate: bool) -> list[str]:
        """Write a statement that holds no other."""
        if hasattr(stmt, "span") or not hasattr(stmt, "lineno"):
            return _indented(ast.unparse(stmt), indent)
        text = self.source(stmt, annotate)
        last: int = stmt.end_lineno  # type: ignore[assignment]
        rest = self.lines[last - 1][stmt.end_col_offset :].decode().strip()
        if rest.startswith("#"):
            text = f"{text}  {rest}"
        text = _REMARK.sub("", text)
        lines = text.splitlines()
        shift = stmt.col_offset
        return [" " * indent + line[shift if i else 0 :] for i, line in enumerate(lines)]

    def source(self, node: ast.stmt | ast.expr, annotate: bool = False) -> str:
        """Return a node's own text, with the edits in it."""
        first, start, last, end = place(node)
        lines = [bytes(line) for line in self.lines[first - 1 : last]]
        lines[-1] = lines[-1][:end]
        for (l0, c0, l1, c1), text in sorted(_edits(node, annotate), reverse=True):
            l0, l1 = l0 - first, l1 - first
            lines[l0 : l1 + 1] = (lines[l0][:c0] + text.encode() + lines[l1][c1:]).split(b"\n")
        lines[0] = lines[0][start:]
        return b"\n".join(lines).decode()


def _edits(node: ast.AST, annotate: bool) -> Iterator[tuple[tuple[int, int, int, int], str]]:
    """Yield what takes the place of what, of the outermost nodes that are others than in the source."""
    span = getattr(node, "span", None)
    if span is not None:
        yield span, ast.unparse(node)
        return
    if isinstance(node, ast.JoinedStr):  # Python 3.11 does not know the places within it
        if any(hasattr(part, "span") for part in ast.walk(node)):
            yield place(node), ast.unparse(node)
        return
    if isinstance(node, ast.AnnAssign):
        _, _, l0, c0 = place(node.target)
        _, _, l1, c1 = place(node.annotation)
        kept = ast.unparse(node.annotation) if ast.unparse(node.annotation) == "KW_ONLY" else "object"
        yield (l0, c0, l1, c1), f": {kept}" if annotate else ""
        parts: list[ast.AST | None] = [node.target, node.value]
    else:
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        if part is not None:
            yield from _edits(part, False)


def _is_record(stmt: ast.ClassDef) -> bool:
    """Return whether the annotations of a class are its fields."""
    parts = map(ast.unparse, (*stmt.bases, *stmt.decorator_list))
    return any("NamedTuple" in part or "dataclass" in part for part in parts)


def _docstring(node: Function | ast.ClassDef, indent: int) -> list[str]:
    """Return the first line of what a definition says of itself."""
    said = ast.get_docstring(node)
    if not said:
        return []
    first = said.split("\n\n")[0].replace("\n", " ").replace("\\", "\\\\").replace('"""', "'''")
    return [" " * indent + f'"""{first}"""']


def _arguments(arguments: ast.arguments) -> str:
    """Write the arguments of a function without their annotations."""
    bare = ast.parse(f"def f({ast.unparse(arguments)}): pass").body[0]
    assert isinstance(bare, ast.FunctionDef)
    for node in ast.walk(bare.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(bare.args)


def _indented(text: str, indent: int) -> list[str]:
    return textwrap.indent(textwrap.dedent(text), " " * indent).splitlines()
