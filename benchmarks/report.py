"""Write the records' numbers into the pages: what stands between `<!-- table:NAME -->` and `<!-- end -->`.

python benchmarks/report.py                              the pages, and the pictures of their records
python benchmarks/report.py --gpu RECORD --out FOLDER    table.md and gpu.png of one GPU check
python benchmarks/report.py --cpu RECORD --out FOLDER    table.md, cpu.png and cpu_scaling.png of one record
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]  # also where this file is loaded by its path

import accuracy  # noqa: E402
import endurance  # noqa: E402
import kills  # noqa: E402
import ragged  # noqa: E402
from cpu_speed import plot as cpu_plot  # noqa: E402
from cpu_speed import table as cpu_table  # noqa: E402
from gpu import plot  # noqa: E402
from gpu import table as gpu_table  # noqa: E402
from gpu.damage import UNREADABLE, DamagedError, names_what_is_damaged, told  # noqa: E402
from record import sources_hash, stale  # noqa: E402
from scaling_mpi import plot as scaling_plot  # noqa: E402
from scaling_mpi import table as scaling_table  # noqa: E402


def tasks(record: dict[str, Any]) -> list[str]:
    """What the README's commands reach."""
    words = {
        "tutorial": "accuracy {accuracy:.3f} on 10,000 new sequences; every last loss below {loss:.2f}",
        "practitioner": "accuracy {accuracy:.3f} on 10,000 new sequences",
        "japanese-vowels": "accuracy {accuracy:.3f} on the 370 test sequences",
        "text": "{bits_per_character:.2f} bits per character on the last tenth (a trigram: {trigram:.2f})",
    }
    lines = ["| command | reaches (mean) | seeds | whole process |", "|---|---|---|---|"]
    for name, task in record["tasks"].items():
        mean = dict(task["mean"])
        mean["loss"] = math.ceil(100 * mean["highest_last_loss"]) / 100
        mean["trigram"] = task["runs"][0]["metrics"].get("trigram_bits_per_character", 0.0)
        seeds = len(task["runs"])
        lines.append(
            f"| `{task['command']}` | {words[name].format(**mean)} | {seeds} | {mean['seconds']:.1f} s |"
        )
    return lines


def tutorial(record: dict[str, Any]) -> list[str]:
    """The tutorial's job, done by three programs."""
    epochs = record["settings"]["epochs"]
    lines = [
        f"The tutorial's job, {epochs} epochs of 1000 sequences one by one, on one core, in turns:",
        "",
        "| program | median s | to the tutorial's |",
        "|---|---|---|",
    ]
    for name, median in record["medians"].items():
        lines.append(f"| {name} | {median:.2f} | {record['ratios'][name]:.2f} |")
    times = record["medians"]["PyTorch nn.RNN"] / record["medians"]["rnn_xp float64"]
    return [*lines, "", f"That is {times:.1f} times as fast as PyTorch, which computes in float32."]


def import_cost(record: dict[str, Any]) -> list[str]:
    """What importing costs."""
    ratios = record["ratios"]
    return [
        f"`import rnn_xp` takes {ratios['rnn_xp']:.2f} times as long as `import numpy`: parts load at need.",
        f"With every public name used, it is {ratios['all of rnn_xp']:.2f} times.",
    ]


def certificate_in_short(record: dict[str, Any]) -> list[str]:
    """What `rnn-xp verify` found, in a sentence."""
    worst = max(record["rounding"], key=lambda row: row["float64 gradient"])
    (rounding,) = [report for report in record["reports"] if report["title"].startswith("rounding")]
    usual = next(
        each for each in rounding["checks"] if each["check"].startswith("default initialisation, float64")
    )
    passed = sum(each.get("passed", 0) for report in record["reports"] for each in report["checks"])
    count = sum(row["configurations"] for row in record["rounding"])
    return [
        f"`rnn-xp verify`: {passed:,} findings passed, none failed. The worst float64 gradient of {count:,} "
        f"configurations is {worst['float64 gradient']:.1f} eps from the truth; at default initialisation "
        f"no error is above {usual['worst']['value']:.1f} sqrt(T) eps."
    ]


def certificate(record: dict[str, Any]) -> list[str]:
    """What `rnn-xp verify` found: the worst errors in eps, by family."""
    sides = ["float64 forward", "float64 gradient", "float32 forward", "float32 gradient"]
    lines = [
        "| worst error in eps | configurations | " + " | ".join(sides) + " |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rounding"]:
        lines.append(
            f"| {row['family']} | {row['configurations']} | "
            + " | ".join(f"{row[s]:.1f}" for s in sides)
            + " |"
        )
    return [*certificate_in_short(record), "", *lines]


def properties(record: dict[str, Any]) -> list[str]:
    """What the property suite found elsewhere."""
    lines = ["| library | networks | what the suite found |", "|---|---|---|"]
    for library, subjects in record["subjects"].items():
        found = {}
        for name, subject in subjects.items():
            for failure in subject["failed"]:
                if not failure["reading"].startswith("The same"):
                    found.setdefault(failure["reading"], []).append(
                        name.removeprefix(f"{library}").strip(" .")
                    )
        told = []
        for reading, names in found.items():
            own = list(dict.fromkeys(names))
            told.append(f"{'all' if len(own) == len(subjects) else '; '.join(own)}: {reading}")
        version = record["versions"].get(library)
        lines.append(f"| {library} {version} | {len(subjects)} | {'<br>'.join(told) or 'nothing'} |")
    return lines


def mutation(record: dict[str, Any]) -> list[str]:
    """How many planted mistakes the tests catch."""
    files = record["files"].values()
    caught, equivalent = (sum(file[name] for file in files) for name in ("caught", "equivalent"))
    planted, counted = sum(file["mutants"] for file in files), record["tried"] - equivalent
    return [
        f"**The tests themselves**: of {record['tried']} mistakes planted one at a time in cells, engine, "
        f"layers, losses and optimisers (drawn from {planted:,}: a sign, an operation, an index, a constant, "
        f"a statement left out), {equivalent} change nothing that is promised, each listed with why; of the "
        f"other {counted} the tests catch {caught}, {record['score']:.1%}. `make mutation` plants them."
    ]


def gpu(record: dict[str, Any]) -> list[str]:
    """What a GPU check found, and its picture."""
    return gpu_table.lines(record, sources_hash(), "benchmarks/results/gpu.png")


def cpu(record: dict[str, Any]) -> list[str]:
    """What a run beside the peers found on a CPU, and its pictures."""
    return cpu_table.summary(record, "benchmarks/results/")


def cpu_in_short(record: dict[str, Any]) -> list[str]:
    """How many times as fast as the peers, and the tutorial's job."""
    return cpu_table.in_short(record)


def cpu_page(record: dict[str, Any]) -> str:
    """Return the page that holds all of it."""
    return "\n".join(["# Speed on a CPU", "", *cpu_table.page(record), *source(record, "cpu"), ""])


def scaling(record: dict[str, Any]) -> list[str]:
    """What several ranks were measured to do, the model of more, and its picture."""
    return scaling_table.table(record, "benchmarks/results/scaling.png")


def scaling_in_short(record: dict[str, Any]) -> list[str]:
    """What two ranks bring, and what a model says of a thousand."""
    return scaling_table.in_short(record)


def nvrtc(record: dict[str, Any]) -> list[str]:
    """Return what the compiler said of the GPU's kernels."""
    registers = {
        cell["cell"]: max(count for target, count in cell["registers"].items() if target.endswith(" 32"))
        for cell in record["cells"]
        if cell["dtype"] == "float32"
    }
    plain = ", ".join(f"{registers[name]} ({label})" for name, label in USUAL_CELLS.items())
    spilled = sum(cell["spilled"] for cell in record["cells"])
    outcome = f"{spilled} bytes are spilled" if spilled else "no register is spilled"
    older = stale(record, sources_hash())
    return [
        *([older, ""] if older else []),
        f"`make nvrtc` compiles {record['kernels']} kernels ({len(registers)} variants of the cells, float32 "
        f"and float64) for sm_80, sm_90 and sm_100: {outcome}. In float32, with indices of 32 bits, a thread "
        f"takes at most {plain} registers.",
    ]


def source(record: dict[str, Any], name: str) -> list[str]:
    """Say where the numbers come from."""
    if name == "gpu":  # stands in its table
        return []
    if name == "nvrtc":
        compiler = (
            f"CuPy {record['versions']['cupy-cuda13x']}, NVRTC {record['versions']['nvidia-cuda-nvrtc']}"
        )
        return ["", f"<sub>`tests/nvrtc/run.py`, {record['date'][:10]}, {compiler}.</sub>"]
    if name == "mutation":
        made = f"{record['date'][:10]}, {record['cores']} cores, python {record['python']}"
        took = f"seed {record['seed']}, {record['seconds'] / 60:.0f} minutes"
        return ["", f"<sub>`tests/mutation/run.py`, {made}, {took}.</sub>"]
    if name == "certificate":
        used = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
        return ["", f"<sub>`rnn-xp verify`, {record['date'][:10]}, {record['hardware']}, {used}.</sub>"]
    machine, versions = record["machine"], record["versions"]
    used = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
    made = f"{record['date'][:10]}, {machine['cpu']} with {machine['cores']} cores, {used}"
    return ["", f"<sub>`benchmarks/{name}.py`, {made}.</sub>"]


USUAL_CELLS = {"rnn_tanh": "RNN", "gru": "GRU", "lstm": "LSTM"}

TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "tasks": tasks,
    "certificate": certificate,
    "properties": properties,
    "mutation": mutation,
    "cpu": cpu,
    "tutorial": tutorial,
    "import_cost": import_cost,
    "kills": kills.table,
    "endurance": endurance.table,
    "ragged": ragged.table,
    "accuracy": accuracy.table,
    "scaling": scaling,
    "nvrtc": nvrtc,
    "gpu": gpu,
    "cpu in short": cpu_in_short,
    "certificate in short": certificate_in_short,
    "scaling in short": scaling_in_short,
}

ABSENT = {"cpu": cpu_table.ABSENT, "gpu": gpu_table.ABSENT, "scaling": scaling_table.ABSENT}
"""What stands in the place of a table whose record need not be there."""

PAGES = ("README.md", "benchmarks/README.md")
"""What they are written into, below the root: every table into one of them."""


def filled(text: str, results: Path = RESULTS, *, folder: str = "") -> str:
    """Return a page with its tables written anew; links are from the folder of the page, "benchmarks/"."""
    for place in re.findall(r"^<!-- table:(.*) -->$", text, flags=re.M):
        if place not in TABLES:
            msg = f"a page has a place for the table {place!r}; there are {', '.join(TABLES)}"
            raise ValueError(msg)
        name = place.removesuffix(" in short")
        path = results / f"{name}.json"
        if name in ABSENT and not path.is_file():
            lines = ABSENT[name]
        else:
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                lines = TABLES[place](record) + source(record, name)
            except UNREADABLE as error:
                msg = f"{path}: {told(error)}"
                raise DamagedError(msg) from error
        before, mark, rest = text.partition(f"<!-- table:{place} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            msg = f"a page has `<!-- table:{place} -->`, and no `<!-- end -->` after it"
            raise ValueError(msg)
        body = "\n".join(lines).replace(f"]({folder}", "](") if folder else "\n".join(lines)
        text = f"{before}{mark}{body}\n{end}{after}"
    return text


def pages(root: Path) -> dict[Path, str]:
    """Return the text of every page, in which every table has its one place."""
    texts = {root / page: (root / page).read_text(encoding="utf-8") for page in PAGES}
    for name in TABLES:
        count = sum(text.count(f"<!-- table:{name} -->\n") for text in texts.values())
        if count != 1:
            msg = f"the pages must have one `<!-- table:{name} -->`; they have {count}"
            raise ValueError(msg)
    return texts


def write_page(record_path: Path, folder: Path, kind: str) -> int:
    """Write table.md and the pictures of a record into a folder; return the exit code."""
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        if kind == "gpu":
            text = "\n".join(gpu_table.lines(record, sources_hash(), "gpu.png")) + "\n"
        else:
            text = cpu_page(record)
        (folder / "table.md").write_text(text, encoding="utf-8")
        return draw(record, folder, kind)
    except (OSError, *UNREADABLE) as error:
        print(f"{record_path}: {told(error)}", file=sys.stderr)
        return 1


@names_what_is_damaged("timings, grid, scaling or cases")
def draw(record: dict[str, Any], folder: Path, kind: str) -> int:
    """Draw the pictures of a record; return the exit code."""
    if kind == "gpu" and not gpu_table.measured(record):
        print("no picture: the record holds no timings", file=sys.stderr)
        return 0
    try:
        if kind == "gpu":
            plot.draw(record, folder / "gpu.png")
        elif kind == "scaling":
            scaling_plot.draw(record, folder / "scaling.png")
        else:
            cpu_plot.draw(record, folder)
    except ImportError as error:
        print(f"no picture: {error}. Install it: pip install matplotlib", file=sys.stderr)
        return 1
    return 0


def main(given: Sequence[str] | None = None) -> int:
    """Write the pages' tables, or those of one record; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--cpu", type=Path, metavar="RECORD", help="a record of benchmarks/cpu.py")
    one.add_argument("--gpu", type=Path, metavar="RECORD", help="a record of benchmarks/gpu_check.py")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where its table.md and pictures go")
    arguments = parser.parse_args(given)
    record = arguments.cpu or arguments.gpu
    if (record is None) != (arguments.out is None):
        parser.error("--cpu or --gpu and --out go together")
    if record is not None:
        if not arguments.out.is_dir():
            parser.error(f"--out must be a folder that is there; got {arguments.out}")
        return write_page(record, arguments.out, "cpu" if arguments.cpu else "gpu")
    try:
        return write_pages(ROOT, RESULTS)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def write_pages(root: Path, results: Path) -> int:
    """Write the pages' tables, the pictures of three records and the page of one; return the exit code."""
    texts = {path: filled(text, results, folder=folder(root, path)) for path, text in pages(root).items()}
    codes = [0]
    for kind in {"cpu", "gpu", "scaling"} & set(TABLES):
        record = results / f"{kind}.json"
        if record.is_file():
            read = json.loads(record.read_text(encoding="utf-8"))
            codes.append(draw(read, results, kind))
            if kind == "cpu":
                (results / "cpu.md").write_text(cpu_page(read), encoding="utf-8")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return max(codes)


def folder(root: Path, page: Path) -> str:
    """Return where a page lies, as links from the root begin: "" or "benchmarks/"."""
    return "" if page.parent == root else f"{page.parent.relative_to(root)}/"


if __name__ == "__main__":
    sys.exit(main())
