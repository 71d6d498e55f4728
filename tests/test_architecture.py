"""The shape of the package: who imports whom, what it never contains, and what importing it loads."""

import ast
import graphlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_xp

PACKAGE = Path(rnn_xp.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
FILES = [file for file in FILES if not file.startswith("docs/")]  # pages, and what builds them

# A part is a file, or a package with all its files. It imports from the rows above its own, and its files one
# another, without a circle. The top, `rnn_xp` itself, is there for what users touch first.
ROWS = [
    {"typing", "table"},
    {"checks"},
    {"backend", "tree", "random"},
    {"initializers"},
    {"functional"},
    {"cells"},
    {"engines"},
    {"sequence"},
    {"layers", "losses", "optim", "clipping", "schedules"},
    {"stream"},
    {"model"},
    {"configs"},
    {"atomic", "safetensors"},
    {"container"},
    {"data", "metrics", "checkpoint", "distributed"},
    {"train", "interop"},
    {"verify", "probe", "callbacks"},
    {"plot", "diagnosis"},
    {"estimators"},
    {"rnn_xp"},
    {"cli"},
    {"__main__"},
]
ROW = {part: row for row, parts in enumerate(ROWS) for part in parts}
HOST = {"backend", "random", "initializers"} | {part for part in ROW if ROW[part] >= ROW["safetensors"]}
OPTIONAL = {
    "array_api_compat": {"backend"},
    "array_api_strict": {"backend"},
    "cupy": {"backend", "distributed", "engines", "interop"},
    "cupyx": {"distributed"},
    "mpi4py": {"distributed"},
    "torch": {"backend", "interop"},
    "h5py": {"interop"},
    "keras": {"interop"},
    "onnx": {"interop"},
    "onnxruntime": {"interop"},
    "matplotlib": {"plot"},
    "plotext": {"plot"},
    "rich": {"train"},
    "sklearn": {"estimators"},
    "tensorboardX": {"callbacks"},
    "tqdm": {"train"},
    "aeon": {"data"},
    "threadpoolctl": {"verify"},
    "gmpy2": {"verify"},
    "mpmath": {"verify"},
}
OF_NUMPY = {f"engines/{name}.py" for name in ("numpy", "program", "trace")}  # the engine for its arrays
UNSAFE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def part_of(file):
    """Return the part that a file belongs to: layers/base.py to layers, tree.py to tree."""
    return file.split("/")[0].removesuffix(".py")


def imports(source):
    """Yield (module, inside a function) for everything that a file imports, by statement or by name."""

    def walk(node, inside):
        match node:
            case ast.Import(names):
                yield from ((name.name, inside) for name in names)
            case ast.ImportFrom(str(module), names, 0) if module.split(".")[0] == "rnn_xp":
                yield from ((f"{module}.{name.name}", inside) for name in names)
            case ast.ImportFrom(module, _, level):
                yield "." * level + (module or ""), inside
            case ast.Call(
                ast.Attribute(attr="import_module" | "optional") | ast.Name("__import__"),
                [ast.Constant(str(module)), *_],
            ):
                yield module, inside
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return list(walk(ast.parse(source), False))


def faults(file, source):
    """Return what is wrong with a file of the package."""
    part = part_of(file)
    if part not in ROW and file != "__init__.py":
        return [f"{part} has no row"]
    found = []
    for module, inside in imports(source):
        top, _, rest = module.partition(".")
        if top == "rnn_xp":
            other = rest.split(".")[0] or "rnn_xp"
            if (
                file != "__init__.py"
                and other not in (part, "__version__")
                and not ROW.get(other, ROW["rnn_xp"]) < ROW[part]
            ):
                found.append(f"{part} imports {other}, which is not above it")
        elif top in UNSAFE:
            found.append(f"imports {top}")
        elif top in OPTIONAL:
            if not inside or part not in OPTIONAL[top]:
                found.append(f"imports {top}{'' if inside else ' at its top'}")
        elif top == "numpy":
            if part not in HOST and file not in OF_NUMPY:
                found.append("imports numpy")
        elif top not in sys.stdlib_module_names:
            found.append(f"imports {module}, which is no dependency")
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(ast.Name("eval" | "exec" | "compile" as name)):
                found.append(f"calls {name}")
            case ast.keyword("allow_pickle" | "shell" as name, value) if not (
                isinstance(value, ast.Constant) and value.value is False
            ):
                found.append(f"sets {name}")
    if len(source.splitlines()) > 300:
        found.append(f"has {len(source.splitlines())} lines")
    return found


@pytest.mark.parametrize("file", FILES)
def test_file(file):
    assert faults(file, (PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("cells/lstm.py", "import numpy as np", "imports numpy"),
        ("functional.py", "from numpy.typing import NDArray", "imports numpy"),
        (
            "cells/lstm.py",
            "from rnn_xp.sequence import forward",
            "cells imports sequence, which is not above it",
        ),
        ("model.py", "import rnn_xp.train as t", "model imports train, which is not above it"),
        ("metrics.py", "from rnn_xp import checkpoint", "metrics imports checkpoint, which is not above it"),
        (
            "layers/base.py",
            "def f():\n    from rnn_xp import model",
            "layers imports model, which is not above it",
        ),
        ("train.py", "import rnn_xp as rx", "train imports rnn_xp, which is not above it"),
        ("model.py", "from rnn_xp import LSTM", "model imports LSTM, which is not above it"),
        ("model.py", "from .layers import LSTM", "imports .layers, which is no dependency"),
        ("backend/libraries.py", "import cupy", "imports cupy at its top"),
        ("backend/libraries.py", "class A:\n    import torch", "imports torch at its top"),
        ("__init__.py", "import array_api_compat", "imports array_api_compat at its top"),
        ("sequence/run.py", "def f():\n    import cupy.cuda", "imports cupy"),
        ("train.py", "def f():\n    return importlib.import_module('torch')", "imports torch"),
        ("data/files.py", "import aeon.datasets", "imports aeon at its top"),
        (
            "interop/onnx.py",
            "def f():\n    import coremltools",
            "imports coremltools, which is no dependency",
        ),
        (
            "plot/style.py",
            "checks.optional('matplotlib.figure', 'plot', '')",
            "imports matplotlib at its top",
        ),
        ("checkpoint.py", "def f():\n    import pickle", "imports pickle"),
        ("checkpoint.py", "x = eval('1')", "calls eval"),
        ("data/files.py", "np.load(path, allow_pickle=True)", "sets allow_pickle"),
        ("cli/doctor.py", "subprocess.run(command, shell=flag)", "sets shell"),
        ("tree.py", "\n" * 301, "has 301 lines"),
        ("utils.py", "", "utils has no row"),
    ],
)
def test_a_planted_fault_is_found(file, source, fault):
    assert faults(file, source) == [fault]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "cells/lstm.py",
            "from rnn_xp.cells.base import Cell\nfrom rnn_xp.functional import sigmoid\nimport math",
        ),
        ("backend/libraries.py", "import numpy as np\ndef f():\n    import cupy\n    import_module('torch')"),
        ("data/files.py", "np.load(path, allow_pickle=False)"),
        ("cli/main.py", "import rnn_xp as rx\nfrom rnn_xp import train, LSTM\nimport re\nre.compile('a')"),
    ],
)
def test_what_is_allowed(file, source):
    assert faults(file, source) == []


def test_no_package_of_ours_has_a_circle():
    modules = {
        f"rnn_xp/{file}".removesuffix(".py").removesuffix("/__init__").replace("/", "."): file
        for file in FILES
    }

    def module_of(name):
        """Return the module in which an imported name lives: the name itself may be one."""
        return name if name in modules else name.rpartition(".")[0]

    graph = {}
    for module, file in modules.items():
        names = imports((PACKAGE / file).read_text(encoding="utf-8"))
        graph[module] = {module_of(name) for name, inside in names if not inside}
    graphlib.TopologicalSorter(graph).prepare()


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_whole_package_loads_numpy_and_the_standard_library_only():
    program = (
        "import sys; before = set(sys.modules); import rnn_xp; [getattr(rnn_xp, n) for n in rnn_xp.__all__]; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    assert set(run(program)) - sys.stdlib_module_names == {"numpy", "rnn_xp"}


def test_importing_the_package_loads_no_part_of_it():
    assert not [name for name in run("import rnn_xp, sys; print(*sys.modules)") if name.startswith("rnn_xp.")]


def test_the_numpy_backend_needs_no_other_library():
    program = "import rnn_xp, sys; rnn_xp.get_backend('numpy'); print(*sys.modules)"
    assert not {"cupy", "torch", "array_api_strict"} & set(run(program))


def test_all_names_what_is_public():
    """What type checkers see is what Python finds, and the same object."""
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    (block,) = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    seen = {alias.asname: (node.module, alias.name) for node in block.body for alias in node.names}
    assert sorted(seen) == rnn_xp.__all__
    assert set(rnn_xp.__all__) <= set(dir(rnn_xp))
    for public, (module, name) in seen.items():
        assert public == name
        value = getattr(rnn_xp, name)
        home = f"{module}.{name}" if inspect.ismodule(value) else module
        assert value is (sys.modules[home] if inspect.ismodule(value) else getattr(sys.modules[home], name))


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="module 'rnn_xp' has no attribute 'Transformer'"):
        rnn_xp.Transformer  # noqa: B018
