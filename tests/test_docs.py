"""The pages say what is so: their code compiles, what they name is there; `make docs` runs them."""

import ast
import inspect
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

import rnn_xp as rx
from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.program import COMMANDS

DOCS = Path(rx.__file__).parent / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
LISTED = (
    *("layers", "data", "distributed", "plot", "verify", "callbacks", "probe", "metrics", "schedules"),
    "initializers",
)
FORMATS = ("torch", "keras", "onnx", "standalone", "parity")
ELSEWHERE = re.compile(r"/(?:home|root|work|opt|mnt|srv|Users|tmp)/(?!mpiuser/)\w|[A-Z]:\\")
"""Places on a machine; mpiuser is whom the images of Kubernetes' MPI operator run as."""


def directives(page, name):
    """Return (argument, options, body) of each directive of a name."""
    for argument, body in re.findall(rf"^```\{{{name}\}} ?(.*)\n((?:(?!```).*\n)*?)```$", page, flags=re.M):
        options = dict(re.findall(r"^:([\w-]+): ?(.*)$", body, flags=re.M))
        yield argument, options, re.sub(r"\A(?::[\w-]+:.*\n)*\n?", "", body)


def cells(page):
    return [body for _, _, body in directives(page, "code-cell")]


def commands(shell):
    """Return the calls of rnn-xp, without what starts them and what the shell does with them."""
    for line in shell.replace("\\\n", "").splitlines():
        if called := re.match(r" *(?:(?:mpiexec|srun) .*)?rnn-xp (.*)", line):
            yield shlex.split(re.split(r"[|&>]", called[1])[0], comments=True)


def find(name):
    """Return what a dotted name stands for."""
    first, *rest = name.split(".")
    found, path = import_module("rnn_xp"), "rnn_xp"
    assert first in ("rx", "rnn_xp")
    for part in rest:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            found = import_module(path)
    return found


def names(page):
    """Return the names of the package that a page mentions."""
    found = re.findall(r"\b(?:rx|rnn_xp)(?:\.[A-Za-z_]\w*)+", page)
    return sorted({name for name in found if not name.endswith((".py", ".md", ".__file__"))})


def understood(command):
    """Parse a command; one that asks for help ends there."""
    if command[-1:] == ["--help"]:
        with pytest.raises(SystemExit, match="0"):
            build_parser().parse_args(command)
    else:
        build_parser().parse_args(command)


def test_every_page_is_in_a_toctree():
    listed = [
        line
        for _, _, body in directives(PAGES["index"], "toctree")
        for line in body.split()
        if line[0] != ":"
    ]
    assert sorted(listed) == sorted(PAGES.keys() - {"index"})
    assert all(f"({name}.md)" in PAGES["index"] for name in listed)


def test_directives_are_found():
    cell = "```{code-cell}\n:tags: [remove-input]\n\nx = 1\n```\n"
    include = "```{literalinclude} a.py\n:pyobject: A.b\n```\n"
    assert cells(f"{cell}\n{include}") == ["x = 1\n"]
    assert list(directives(f"{cell}\n{include}", "literalinclude")) == [("a.py", {"pyobject": "A.b"}, "")]
    assert list(commands("rnn-xp train --epochs \\\n    2 | tail -n 1\nls")) == [["train", "--epochs", "2"]]
    assert list(commands("mpiexec -n 2 rnn-xp train --json")) == [["train", "--json"]]
    assert names("`rx.fit` and rx.data.load(x), rnn_xp/docs") == ["rx.data.load", "rx.fit"]
    for wrong in ("rx.fitt", "rx.plot.histroy"):
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            find(wrong)


@pytest.mark.parametrize("name", PAGES)
def test_cells_compile(name):
    page = PAGES[name]
    found = cells(page)
    assert len(found) == page.count("```{code-cell}")
    assert bool(found) == page.startswith("---\nfile_format: mystnb\nkernelspec: {name: python3}\n---\n")
    for cell in found:
        if not cell.startswith("%%bash -e\n"):
            compile(cell, f"{name}.md", "exec")


@pytest.mark.parametrize("name", PAGES)
def test_names_exist(name):
    for each in names(PAGES[name]):
        find(each)


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_understood(name):
    page = PAGES[name]
    shells = [cell for cell in cells(page) if cell.startswith("%%bash -e\n")]
    shells += re.findall(r"^```sh\n(.*?)^```", page, flags=re.S | re.M)
    for command in commands("\n".join(shells)):
        understood(command)
    for command in re.findall(r"`rnn-xp ([a-z]+)[^`]*`", page):
        assert command in COMMANDS


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pieces_of_source_are_there(name):
    page = PAGES[name]
    for target in re.findall(r"\]\(([^)#:]+\.md)", page):
        assert (DOCS / target).is_file()
    for target, options, _ in directives(page, "literalinclude"):
        text = (DOCS / target).read_text(encoding="utf-8")
        if "pyobject" in options:
            body = ast.parse(text).body
            for part in options["pyobject"].split("."):
                (found,) = [each for each in body if getattr(each, "name", None) == part]
                body = found.body
        rest = text
        for key in ("start-at", "end-at", "end-before"):
            if key in options:
                _, there, rest = rest.partition(re.sub(r"^(['\"])(.*)\1$", r"\2", options[key]))
                assert there


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_a_place_on_a_machine(name):
    assert not ELSEWHERE.search(PAGES[name])


def test_every_command_tells_its_help():
    helps = [command for cell in cells(PAGES["cli"]) for command in commands(cell) if "--help" in command]
    assert sorted(helps) == sorted([["--help"], *[[command, "--help"] for command in COMMANDS]])


def test_the_reference_has_every_public_name():
    documented = re.findall(r"^\.\. auto\w+:: rnn_xp\.(\S+)", PAGES["api"], flags=re.M)
    assert len(set(documented)) == len(documented)
    assert set(rx.__all__) - {"interop", *LISTED} <= set(documented)
    for part in (*LISTED, *[f"interop.{each}" for each in FORMATS]):
        module = import_module(f"rnn_xp.{part}")
        own = getattr(module, "__all__", None) or vars(module)
        public = {
            each
            for each in own
            if not each.startswith("_")
            and (inspect.isclass(getattr(module, each)) or inspect.isfunction(getattr(module, each)))
            and f"{getattr(module, each).__module__}.".startswith(f"rnn_xp.{part}.")
        }
        assert public <= {each.removeprefix(f"{part}.") for each in documented} | set(rx.__all__)
