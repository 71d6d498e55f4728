"""What of the modules is reached from a few definitions, and under which names it stands in one file."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rnn_xp.interop.standalone.fold import placed
from rnn_xp.interop.standalone.modules import Library, Meaning, Module, Package, Symbol, Value
from rnn_xp.interop.standalone.names import Use, uses
from rnn_xp.interop.standalone.text import Printer

DUNDERS = ("__init__", "__call__")
"""What is called without being named; what else Python calls by itself, our classes at work do without."""


FACTS: dict[str, Meaning] = {"np": Symbol("numpy", None, library=True), "rnn_xp": Package("rnn_xp")}
"""The names that facts may bring into any module of ours."""


class Reference(NamedTuple):
    """A name in the source, or a chain of attributes, that stands for a symbol."""

    module: str  # in which it stands
    node: ast.Name | ast.Attribute
    symbol: Symbol


class Shaker:
    """Follows names from definition to definition.

    Parameters
    ----------
    library : Library
    left_out : collection of str
        Methods that are never called: "Layer.forward".
    given : collection of str
        Names that a file has besides.
    """

    def __init__(self, library: Library, left_out: Iterable[str], given: Iterable[str]) -> None:
        self.library, self.left_out, self.given = library, frozenset(left_out), frozenset(given)
        self.definitions: dict[Symbol, ast.stmt] = {}  # what is reached
        self.values: dict[Symbol, Any] = {}  # numbers of users' modules
        self.libraries: set[Symbol] = set()
        self.members: dict[Symbol, set[ast.stmt]] = {}  # of classes
        self.attributes: set[str] = set()  # every name that comes after a dot
        self.references: list[Reference] = []
        self.taken: dict[Symbol, set[str]] = {}  # names that mean something else where a symbol is used
        self._of_modules: set[ast.AST] = set()  # attributes that are no attributes
        self._todo: list[tuple[Module, ast.AST]] = []

    def reach(self, symbols: Iterable[Symbol]) -> None:
        """Take these definitions, and all that they need."""
        for symbol in symbols:
            self._take(symbol)
        while self._todo or self._members():
            while self._todo:
                self._look(*self._todo.pop())

    def _take(self, symbol: Symbol) -> None:
        """Take a definition."""
        if symbol.library:
            self.libraries.add(symbol)
        elif symbol not in self.definitions:
            module = self._module(symbol)
            if symbol.name not in module.definitions:
                msg = f"`model` must have cells of functions at the top of a module; got {symbol.name}."
                raise ValueError(msg)
            stmt = self.definitions[symbol] = module.definitions[symbol.name]
            if isinstance(stmt, ast.ClassDef):
                self.members[symbol] = set()
                stmt.bases = [base for base in stmt.bases if ast.unparse(base) not in ("ABC", "Protocol")]
                self._todo += [(module, part) for part in (*stmt.bases, *stmt.decorator_list)]
            else:
                self._todo.append((module, stmt))

    def _module(self, symbol: Symbol) -> Module:
        known = self.library.modules.get(symbol.module)
        return known or self.library.module(symbol.module)

    def _members(self) -> bool:
        """Take what has come to be needed of the classes; say whether there was any."""
        before = len(self._todo)
        for symbol, own in self.members.items():
            stmt = self.definitions[symbol]
            assert isinstance(stmt, ast.ClassDef)
            module = self._module(symbol)
            for member in stmt.body:
                if member not in own and self._is_needed(member, stmt, module):
                    own.add(member)
                    value = member if isinstance(member, ast.FunctionDef) else getattr(member, "value", None)
                    self._todo.append((module, value if value is not None else ast.Pass()))
                    if isinstance(member, ast.AnnAssign) and ast.unparse(member.annotation) == "KW_ONLY":
                        self._todo.append((module, member.annotation))
        return len(self._todo) > before

    def _is_needed(self, member: ast.stmt, owner: ast.ClassDef, module: Module) -> bool:
        """Return whether a method is called by its name anywhere, or a class has that field."""
        users = module.values is not None
        match member:
            case ast.FunctionDef(name):
                abstract = any("abstractmethod" in ast.unparse(each) for each in member.decorator_list)
                wanted = name in self.attributes or name in DUNDERS or (users and name.startswith("__"))
                return wanted and not abstract and f"{owner.name}.{name}" not in self.left_out
            case ast.AnnAssign(ast.Name(name), _, value):
                record = owner.decorator_list or "NamedTuple" in map(ast.unparse, owner.bases)
                return bool(record) or (value is not None and name in self.attributes)
            case ast.Assign(targets):
                return any(isinstance(each, ast.Name) and each.id in self.attributes for each in targets)
        return users and not isinstance(member, ast.Expr)

    def _look(self, module: Module, node: ast.AST) -> None:
        """Follow the names in a piece of source."""
        self.attributes |= {
            name for each in ast.walk(node) if isinstance(each, ast.MatchClass) for name in each.kwd_attrs
        }
        for use in uses(node):
            found = self._follow(module, use)
            if found is not None:
                self.references.append(found)
                self.taken.setdefault(found.symbol, set()).update(use.around)
        self.attributes |= {
            each.attr
            for each in ast.walk(node)
            if isinstance(each, ast.Attribute) and each not in self._of_modules
        }

    def _follow(self, module: Module, use: Use) -> Reference | None:
        """Return what a name stands for, with as many attributes as are modules of ours."""
        node: ast.Name | ast.Attribute = use.node
        meaning: Meaning = self.library.meaning(module, use.node.id)
        if meaning is None and module.values is None:
            meaning = FACTS.get(use.node.id)
        chain = iter(use.chain)
        while isinstance(meaning, Package):
            node = next(chain)
            self._of_modules.add(node)
            meaning = self.library.attribute(meaning, node.attr)
        if meaning is None:
            if node is not use.node or not (use.node.id in self.given or hasattr(builtins, use.node.id)):
                msg = f"`model` must have cells whose names are all known; got {ast.unparse(node)}."
                raise ValueError(msg)
            return None
        if isinstance(meaning, Value):
            self.values[meaning.symbol] = meaning.value
            return Reference(module.name, node, meaning.symbol)
        self._take(meaning)
        return Reference(module.name, node, meaning)

    def names(self) -> dict[Symbol, str]:
        """Return a name for every symbol, its own where that is free."""
        result: dict[Symbol, str] = {}
        taken = {*self.given, *dir(builtins)}
        for symbol in [*sorted(self.libraries, key=str), *self.definitions, *self.values]:
            stem = symbol.module.split("/")[-1].removesuffix(".py").split(".")[-1]
            name = symbol.name or ("np" if symbol.module == "numpy" else symbol.module.replace(".", "_"))
            own = name
            number = 1
            while own in taken | self.taken.get(symbol, set()):
                own = f"_{stem}{name}" if name.startswith("_") else f"{stem}_{name}"
                own = own if number == 1 else f"{own}_{number}"
                number += 1
            result[symbol] = own
            taken.add(own)
        return result

    def rename(self, names: dict[Symbol, str]) -> None:
        """Write the names where the symbols are used."""
        for _, node, symbol in self.references:
            if isinstance(node, ast.Name) and node.id == names[symbol]:
                continue
            new = placed(ast.Name(names[symbol], getattr(node, "ctx", ast.Load())), node)
            node.__class__, node.__dict__ = ast.Name, new.__dict__  # in its place in the tree

    def text(self, names: dict[Symbol, str], last: str) -> Iterator[str]:
        """Yield the definitions, module by module, each after those that it needs."""
        printers: dict[str, Printer] = {}
        for symbol in self._in_order(last):
            module = self._module(symbol)
            printer = printers.setdefault(symbol.module, Printer(module.lines))
            yield printer.definition(self.definitions[symbol], names[symbol], self.members.get(symbol, ()))

    def _in_order(self, last: str) -> list[Symbol]:
        """Return the definitions in the order in which modules are imported, and of their lines."""
        order: list[str] = []
        seen: set[str] = set()

        def visit(name: str) -> None:
            if name in seen:
                return
            seen.add(name)
            for other in sorted(needed.get(name, ())):
                visit(other)
            order.append(name)

        needed: dict[str, set[str]] = {}
        for module, _, symbol in self.references:
            needed.setdefault(module, set()).add(symbol.module)
        for symbol in sorted(
            self.definitions, key=lambda s: s.module.startswith("rnn_xp.cells"), reverse=True
        ):
            if symbol.module != last:
                visit(symbol.module)
        visit(last)
        statements: dict[ast.stmt, Symbol] = {}
        for symbol in sorted(self.definitions, key=lambda s: (order.index(s.module), s.name or "")):
            statements.setdefault(self.definitions[symbol], symbol)
        return sorted(statements.values(), key=lambda s: (order.index(s.module), self.definitions[s].lineno))
