"""The README's table of a GPU check, from made-up records: none, one of now, one of before."""

import copy
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load():
    """Load the script as a module; it puts its own folder on the path."""
    spec = importlib.util.spec_from_file_location("report", ROOT / "benchmarks" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report = load()

from gpu import plot, table  # noqa: E402
from gpu.check import Sizes  # noqa: E402
from gpu.timings import grid  # noqa: E402
from record import GPU_SOURCES, sources_hash, store  # noqa: E402


def times(seconds):
    return {"host": seconds / 2, "device": seconds, "total": seconds}


def made_up():
    """Return a record of simple numbers: an LSTM takes 4 times as long as cuDNN's, the others twice."""
    points = []
    for point in grid(Sizes()):
        factor = 4 if point.cell == "lstm" else 2
        seconds = point.T * point.H * 1e-6
        row = {"cell": point.cell, "T": point.T, "B": point.B, "H": point.H}
        row["train"] = {"cupy": times(3 * factor * seconds), "cudnn": times(3 * seconds)}
        row["inference"] = {
            "cupy": times(factor * seconds / point.T**0.5),
            "cudnn": times(seconds / point.T**0.5),
        }
        points.append(row)
    case = {"cell": "lstm", "T": 1000, "engine": "cupy", "repeats": True, "passed": True}
    peak, product = {"peak": 2_000_000, "held": 3_000_000}, {"T": 1000, "N": 128, "D": 32}
    step = {"gemm": {"host": 9e-6, "device": 4e-6}, "kernel": {"host": 8e-6, "device": 2e-6}}
    return {
        "benchmark": "gpu_check",
        "date": "2031-02-03T04:05:06+00:00",
        "commit": "0123456789abcdef",
        "changed_since": False,
        "machine": {"cpu": "Some CPU", "cores": 16, "system": "Linux"},
        "versions": {"python": "3.12.0", "numpy": "2.4.0", "torch": None},
        "sources_hash": sources_hash(),
        "dry_run": False,
        "complete": True,
        "failures": [],
        "left_out": {},
        "device": {"name": "Made-up GPU", "driver": "580.1", "runtime_cuda": "13.2", "cupy": "14.2.0"},
        "tests": {"outcomes": {"passed": 343, "skipped": 2}},
        "parity": {
            "states_limit": {"float32": 2e-5, "float64": 1e-12},
            "gradients_limit": {"float32": 1e-5, "float64": 1e-12},
            "cases": [
                {**case, "dtype": "float32", "states": 3e-7, "gradients": {"x": 5e-7, "state_0.h": 6e-7}},
                {**case, "dtype": "float64", "states": 4e-16, "gradients": {"x": 7e-15, "state_0.h": 8e-16}},
            ],
        },
        "training": {
            "trainings": [
                {"cell": "lstm", "dtype": "float32", "steps": 100, "difference": 2e-6},
                {"cell": "lstm", "dtype": "float64", "steps": 100, "difference": 9e-15},
            ]
        },
        "products": {
            "input_products": [
                {**product, "dtype": "float32", "B": 1, "ratio": 8.0},
                {**product, "dtype": "float32", "B": 16, "ratio": 2.0},
                {**product, "dtype": "float64", "B": 1, "out_of_memory": True},
            ],
            "steps": [{"H": 32, "B": 1, **step}, {"H": 256, "B": 64, **step}],
        },
        "memory": {
            "points": [
                {"cell": "rnn", "T": 1000, "B": 64, "H": 256, "cupy": peak, "cudnn": None},
                {
                    "cell": "lstm",
                    "T": 1000,
                    "B": 64,
                    "H": 256,
                    "cupy": {"peak": 4e9, "held": 0},
                    "cudnn": peak,
                },
            ]
        },
        "timings": {"cudnn": {"cudnn": 91000}, "points": points},
    }


@pytest.fixture
def results(tmp_path):
    """Return a folder with the committed records, but no GPU's."""
    for path in report.RESULTS.glob("*.json"):
        if path.stem != "gpu":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


PLACES = "".join(f"before\n<!-- table:{name} -->\nold\n<!-- end -->\nafter\n" for name in report.TABLES)


def write_pages(root, first, second="nothing"):
    """Put pages where the report looks for them."""
    (root / "benchmarks").mkdir(exist_ok=True)
    for page, text in zip(report.PAGES, (first, second), strict=True):
        (root / page).write_text(text, encoding="utf-8")


def block(text):
    return re.search(r"<!-- table:gpu -->\n(.*?)\n<!-- end -->\nafter\n", text, flags=re.S)[1]


def test_without_a_record_the_page_says_so_and_how_to_measure(results):
    text = block(report.filled(PLACES, results))
    assert text.startswith("No GPU has run this yet: not yet measured. ")
    assert "`python benchmarks/gpu_check.py --out benchmarks/results/gpu.json`" in text


def test_a_record_fills_the_table(results):
    store(results / "gpu.json", made_up())
    filled = report.filled(PLACES, results)
    assert filled.count("before\n") == filled.count("after\n") == len(report.TABLES)
    text = block(filled)
    assert "stale" not in text
    assert "No GPU has run this yet" not in filled
    assert text.startswith("343 of 345 `gpu` tests passed, 2 skipped. 100 training steps")
    assert "NumPy's losses to 2.0e-06 (float32), 9.0e-15 (float64) of the first" in text
    assert "the same bits in 2 of 2 comparisons" in text
    assert "| largest difference of an output or state | 3.0e-07 | 2e-05 | 4.0e-16 | 1e-12 |" in text
    assert "| gradient, difference over norm | 6.0e-07 | 1e-05 | 7.0e-15 | 1e-12 |" in text
    assert "| rnn | 2.00 | 2.00 | 2.00 | 2.00 |\n| gru |" in text
    assert "| lstm | 4.00 | 4.00 | 4.00 | 4.00 |" in text
    assert "| lstm | 64 | 256 | 3,072 | 1,536 | 768 | 32.4 | 16.2 | 8.1 |" in text
    assert text.count("\n| lstm |") == 1 + 3
    assert "| T = 1,000, B = 64, H = 256 | 2 (–) | 4,000 (2) |" in text
    assert "takes 4.00 (float32) times as long as one large GEMM" in text
    assert "at worst 8.00, with float32, H 32, B 1" in text
    assert (
        "H 256, B 64, takes 4.0 µs on the device and 9.0 on the host; a small fused kernel 2.0 and 8.0."
        in text
    )
    assert "](benchmarks/results/gpu.png)" in text
    assert "2031-02-03, Made-up GPU beside Some CPU, driver 580.1, CUDA 13.2, cupy 14.2.0" in text
    assert "cuDNN 91000, commit 0123456789ab.</sub>" in text
    assert "None" not in text


def test_a_record_of_other_sources_is_stale(results):
    store(results / "gpu.json", made_up() | {"sources_hash": "another"})
    first, *_ = block(report.filled(PLACES, results)).splitlines()
    assert first.startswith("**stale**: the sources of the GPU engines have changed since this record")
    assert first.endswith("(2031-02-03, commit 0123456789ab).")


def test_what_the_compiler_said_of_other_sources_is_stale(results):
    committed = json.loads((results / "nvrtc.json").read_text(encoding="utf-8"))
    for told, stale in ((sources_hash(), False), ("another", True)):
        store(results / "nvrtc.json", committed | {"sources_hash": told, "date": "2031-02-03T04:05:06+00:00"})
        _, _, text = report.filled(PLACES, results).partition("<!-- table:nvrtc -->\n")
        line = "**stale**: the sources of the GPU engines have changed since this record (2031-02-03, commit "
        assert text.startswith(line) is stale
        assert "`make nvrtc` compiles" in text


def test_what_went_wrong_heads_the_table():
    record = made_up() | {"failures": ["parity: lstm | off", "more"], "complete": False, "commit": None}
    record |= {"left_out": {"timings": ["a", "b"]}, "sources_hash": "another"}
    lines = table.lines(record, sources_hash(), "gpu.png")
    assert "no commit known" in lines[0]
    assert lines[2].startswith("**incomplete**")
    assert lines[4] == "**failed**: 2 of its checks; the first: parity: lstm / off"
    assert lines[6] == "Left out for want of time: 2 of timings."


PARTS = ("tests", "parity", "training", "products", "memory", "timings")
ROWS = {
    "parity": "cases",
    "training": "trainings",
    "products": "steps",
    "memory": "points",
    "timings": "points",
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_may_be_absent_or_empty(part):
    record = made_up()
    for without in ({**record, part: {}}, {name: value for name, value in record.items() if name != part}):
        lines = table.lines(without, sources_hash(), "gpu.png")
        assert 0 < len("\n".join(lines)) < len("\n".join(table.lines(record, sources_hash(), "gpu.png")))
    bare = {name: value for name, value in record.items() if name not in PARTS}
    (only,) = table.lines(bare, sources_hash(), "gpu.png")
    assert only.startswith("<sub>`benchmarks/gpu_check.py`")


def test_numbers_that_are_not_finite_are_the_worst(tmp_path):
    record = made_up()
    record["parity"]["cases"][0]["gradients"]["x"] = float("nan")
    store(tmp_path / "gpu.json", record)
    stored = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert "| gradient, difference over norm | inf |" in "\n".join(table.proofs(stored))


def test_points_without_times_are_left_out():
    record = made_up()
    for row in record["timings"]["points"]:
        if row["cell"] == "rnn" and row["T"] == 1000:
            row["train"]["cudnn"] = "out of memory"
    text = "\n".join(table.ratios(record) + table.chosen(record))
    assert "| rnn | 2.00 | not measured | 2.00 | not measured |" in text
    assert "| rnn | 1 | 32 | 192 | 96 | out of memory |" in text
    for row in record["timings"]["points"]:
        del row["inference"]["cudnn"]
    assert table.ratios(record) == ["cuDNN was not measured beside it."]


def test_a_place_that_does_not_end_is_refused():
    with pytest.raises(ValueError, match="a page has `<!-- table:tasks -->`, and no `<!-- end -->` after it"):
        report.filled("<!-- table:tasks -->\nnothing")


def test_a_place_for_no_table_is_refused():
    with pytest.raises(ValueError, match="a page has a place for the table 'taks'; there are tasks, cert"):
        report.filled("<!-- table:taks -->\n<!-- end -->")


@pytest.mark.parametrize(("text", "count"), [("nothing", 0), (2 * PLACES, 2)])
def test_every_table_has_one_place(text, count, tmp_path):
    write_pages(tmp_path, text)
    with pytest.raises(ValueError, match=f"have one `<!-- table:tasks -->`; they have {count}"):
        report.pages(tmp_path)


def test_links_are_from_the_folder_of_the_page(results):
    text = report.filled(PLACES, results, folder="benchmarks/")
    assert "](results/cpu.png)" in text
    assert "](benchmarks/" not in text
    assert "](benchmarks/results/cpu.png)" in report.filled(PLACES, results)


# --- one record, into a folder


def test_a_record_becomes_a_table_and_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    store(tmp_path / "record.json", made_up())
    assert report.main(["--gpu", str(tmp_path / "record.json"), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.startswith("343 of 345 `gpu` tests")
    assert "](gpu.png)" in text
    assert (tmp_path / "gpu.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_table_is_there(tmp_path, monkeypatch, capsys):
    def absent(record, path):
        raise ImportError("No module named 'matplotlib'")

    monkeypatch.setattr(plot, "draw", absent)
    store(tmp_path / "record.json", made_up())
    assert report.main(["--gpu", str(tmp_path / "record.json"), "--out", str(tmp_path)]) == 1
    assert (tmp_path / "table.md").is_file()
    told = capsys.readouterr().err
    assert told == "no picture: No module named 'matplotlib'. Install it: pip install matplotlib\n"


def test_a_record_without_timings_has_no_picture(tmp_path, capsys):
    store(tmp_path / "record.json", made_up() | {"timings": {}})
    assert report.main(["--gpu", str(tmp_path / "record.json"), "--out", str(tmp_path)]) == 0
    assert "no picture: the record holds no timings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("{", "JSONDecodeError"),
        ("[1]", "it is no record of benchmarks/gpu_check.py"),
        ('{"benchmark": "tasks"}', "it is no record of benchmarks/gpu_check.py"),
        (json.dumps(made_up() | {"dry_run": True}), "it is of a dry run, which measures nothing"),
        ('{"benchmark": "gpu_check"}', "its `date` must be a string; it is missing"),
        (json.dumps(made_up() | {"failures": None}), "its `failures` must be a list; got null"),
        (json.dumps(made_up() | {"commit": 3}), "its `commit` must be a string or null; got 3"),
        (json.dumps(made_up() | {"device": {}}), "machine or timings` cannot be read: 'name' is missing"),
        *[
            (
                json.dumps(made_up() | {part: wrong}),
                f"its `{part}` must be an object; got {json.dumps(wrong)}",
            )
            for part in PARTS
            for wrong in (None, "x")
        ],
        *[
            (json.dumps(made_up() | {part: {name: rows}}), f"its `{part}` cannot be read: {why}")
            for part, name in ROWS.items()
            for rows, why in (([{}], "'"), ("x", "TypeError"), ([None], "TypeError"))
        ],
        (json.dumps(made_up() | {"tests": {"outcomes": "x"}}), "its `tests` cannot be read: AttributeError"),
    ],
)
def test_a_bad_record_is_refused_in_one_line(text, why, tmp_path, capsys):
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert report.main(["--gpu", str(path), "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"{path}: ") or text is None
    assert why in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "table.md").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps(made_up() | {"dry_run": True}), "it is of a dry run, which measures nothing"),
        (json.dumps(made_up() | {"parity": None}), "its `parity` must be an object; got null"),
        ("{", "JSONDecodeError"),
        ("[1]", "it is no record of benchmarks/gpu_check.py"),
    ],
)
def test_a_bad_record_leaves_the_readme_as_it_was(text, why, results, monkeypatch, capsys):
    (results / "gpu.json").write_text(text, encoding="utf-8")
    write_pages(results, PLACES)
    monkeypatch.setattr(report, "ROOT", results)
    monkeypatch.setattr(report, "RESULTS", results)
    assert report.main([]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{results / 'gpu.json'}: ")
    assert why in told
    assert (results / "README.md").read_text(encoding="utf-8") == PLACES


def test_the_readme_is_written(results, monkeypatch):
    pytest.importorskip("matplotlib")
    write_pages(results, PLACES)
    monkeypatch.setattr(report, "ROOT", results)
    monkeypatch.setattr(report, "RESULTS", results)
    assert report.main([]) == 0
    assert (results / "README.md").read_text(encoding="utf-8") == report.filled(PLACES, results)
    record = json.loads((results / "cpu.json").read_text(encoding="utf-8"))
    assert (results / "cpu.md").read_text(encoding="utf-8") == report.cpu_page(record)
    assert (results / "cpu.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--gpu", "record.json"], "--gpu and --out go together"),
        (["--gpu", "record.json", "--out", "nowhere"], "--out must be a folder that is there; got nowhere"),
    ],
)
def test_wrong_usage(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        report.main(arguments)
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err


def test_a_dry_run_fills_no_readme(results):
    store(results / "gpu.json", made_up() | {"dry_run": True})
    with pytest.raises(ValueError, match="it is of a dry run"):
        report.filled(PLACES, results)


# --- records


def test_the_hash_follows_every_source(tmp_path):
    for pattern in GPU_SOURCES:
        assert list(ROOT.glob(pattern)), pattern
        for path in ROOT.glob(pattern):
            copied = tmp_path / path.relative_to(ROOT)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    assert sources_hash(tmp_path) == sources_hash()
    changed = ("cells/lstm.py", "engines/portable.py", "functional.py", "sequence/run.py")
    for name in (f"rnn_xp/{name}" for name in changed):
        before, path = sources_hash(tmp_path), tmp_path / name
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert sources_hash(tmp_path) != before
    before = sources_hash(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as a checkout on Windows has it
    assert sources_hash(tmp_path) == before
    path.rename(path.with_name("renamed.py"))
    assert sources_hash(tmp_path) != before


def test_a_stored_record_is_json_of_short_lines(tmp_path):
    record = made_up()
    record["strange"] = [float("inf"), float("-inf"), (1, None), 1 / 3, {"deep": [{}, []]}]
    store(tmp_path / "record.json", record)
    text = (tmp_path / "record.json").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 112
    expected = copy.deepcopy(record)
    expected["strange"] = ["inf", "-inf", [1, None], 0.333333, {"deep": [{}, []]}]
    stored = json.loads(text)
    assert stored["strange"] == expected["strange"]
    assert stored["parity"] == expected["parity"]
    assert list(stored) == list(expected)
