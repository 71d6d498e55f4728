"""The source of modules: what their names stand for, and the definitions themselves."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

PACKAGE = "rnn_xp"


class Symbol(NamedTuple):
    """A definition at the top of a module; a name of a library (attribute None: the library itself)."""

    module: str
    name: str | None
    library: bool = False  # whether it is imported in the file, not written into it


class Package(NamedTuple):
    """A module of ours, as another one names it."""

    module: str


class Value(NamedTuple):
    """A number or the like that a user's module holds."""

    symbol: Symbol
    value: Any


Meaning: TypeAlias = Symbol | Package | Value | None

Fold: TypeAlias = Callable[[str, ast.Module], ast.Module]


class Module:
    """The definitions of a module by name, and where the names come from that it imports.

    Parameters
    ----------
    name : str
    text : str
    values : mapping
        The names of a user's module, as they are while it is loaded.
    """

    def __init__(self, name: str, text: str, fold: Fold, values: Mapping[str, Any] | None = None) -> None:
        self.name, self.values = name, values
        self.lines = text.encode().splitlines()
        self.tree = fold(name, ast.parse(text))
        self.definitions: dict[str, ast.stmt] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}
        for stmt in self.tree.body:
            self._read(stmt)

    def _read(self, stmt: ast.stmt) -> None:
        """Note what a statement binds."""
        match stmt:
            case ast.Import(names):
                for each in names:
                    self.imports[each.asname or each.name.partition(".")[0]] = (each.name, None)
            case ast.ImportFrom(str(module), names, 0):
                self.imports |= {each.asname or each.name: (module, each.name) for each in names}
            case ast.If(ast.Name("TYPE_CHECKING"), body):
                for inner in body:
                    self._read(inner)
            case ast.FunctionDef(name) | ast.ClassDef(name):
                self.definitions[name] = stmt
            case ast.Assign(targets):
                for node in (each for target in targets for each in ast.walk(target)):
                    if isinstance(node, ast.Name):
                        self.definitions[node.id] = stmt
            case ast.AnnAssign(ast.Name(name), _, ast.expr()):
                self.definitions[name] = stmt


class Library:
    """The modules that were looked into, by name: those of the package, and those of a user's cells."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self.modules: dict[str, Module] = {}

    def add(self, name: str, text: str, values: Mapping[str, Any] | None = None) -> Module:
        """Take a module whose source is known."""
        return self.modules.setdefault(name, Module(name, text, self.fold, values))

    def module(self, name: str) -> Module:
        """Return a module of the package; it is read, not run."""
        if name not in self.modules:
            self.add(name, _path(name).read_text(encoding="utf-8"))
        return self.modules[name]

    def symbol_of(self, value: Any) -> Symbol:
        """Return where a function or a class is defined."""
        value = value if isinstance(value, type) else inspect.unwrap(value)
        home = value.__module__ or "builtins"
        name = getattr(value, "__qualname__", value.__name__)
        root = home.partition(".")[0]
        if root == "numpy" or root in sys.stdlib_module_names:
            return Symbol(root if root == "numpy" else home, name, library=True)
        if root == PACKAGE and "." not in name:
            return Symbol(home, name)
        must = "`model` must have cells whose functions are defined with `def` at the top of a module"
        if "." in name or not name.isidentifier():
            msg = f"{must}; got {name} of {home}. Options can be the fields of a frozen dataclass."
            raise ValueError(msg)
        try:
            path, text = inspect.getsourcefile(value) or "", "".join(inspect.findsource(value)[0])
        except (OSError, TypeError):
            msg = f"{must}, in a file that is still there; got {name} of {home}, whose source is not."
            raise ValueError(msg) from None
        values = getattr(value, "__globals__", None) or vars(inspect.getmodule(value) or value)
        self.add(path, text, values)
        return Symbol(path, name)

    def meaning(self, module: Module, name: str) -> Meaning:
        """Return what a name stands for in a module; None: it is Python's own."""
        if module.values is not None:
            return self._user(module, name)
        if name in module.definitions:
            return Symbol(module.name, name)
        if name not in module.imports:
            return None
        home, attribute = module.imports[name]
        if home.partition(".")[0] != PACKAGE:
            return Symbol(home, attribute, library=True)
        if attribute is None:
            return Package(home)
        return self.attribute(Package(home), attribute)

    def attribute(self, package: Package, name: str) -> Meaning:
        """Return what a name stands for in a module of ours: a module of that name, or what it binds."""
        known, inner = self.module(package.module), f"{package.module}.{name}"
        if known.imports.get(name, (package.module, name)) == (package.module, name) and _is_there(inner):
            return Package(inner)
        return self.meaning(known, name)

    def _user(self, module: Module, name: str) -> Meaning:
        """Return what a name stands for in a user's module, by what it is now."""
        assert module.values is not None
        if name not in module.values:
            return None
        value = module.values[name]
        if isinstance(value, ModuleType):
            root = value.__name__.partition(".")[0]
            if root not in (PACKAGE, "numpy", *sys.stdlib_module_names):
                must = "`model` must have cells that need NumPy and Python's own library alone"
                msg = f"{must}; got {root}, in {module.name}."
                raise ValueError(msg)
            return Package(value.__name__) if root == PACKAGE else Symbol(value.__name__, None, library=True)
        if isinstance(value, type | np.ufunc) or inspect.isroutine(value) or hasattr(value, "__wrapped__"):
            return self.symbol_of(value)
        return Value(Symbol(module.name, name), value)


def _path(module: str) -> Any:
    """Return where the source of a module of ours is."""
    *rooms, last = module.split(".")
    place = files(PACKAGE).joinpath(*rooms[1:])
    room = place.joinpath(last) if rooms else place
    return room.joinpath("__init__.py") if room.is_dir() else place.joinpath(f"{last}.py")


def _is_there(module: str) -> bool:
    return bool(_path(module).is_file())
