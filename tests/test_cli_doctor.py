"""`rnn-xp doctor`: what it reports, and that it finds a wrong gradient."""

import json
import platform
import re
import subprocess
import sys
import tomllib
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import backend, tree
from rnn_xp.backend import cupy_diagnosis
from rnn_xp.cli import main
from rnn_xp.cli.doctor_extras import EXTRAS
from rnn_xp.cli.doctor_gpu import gpu
from rnn_xp.cli.doctor_machine import Line, required, threads


def report(capsys, *argv):
    code = main(["doctor", "--json", *argv])
    out, _ = capsys.readouterr()
    return code, json.loads(out)["result"]


def test_versions(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    code, result = report(capsys)
    system = result["system"]
    assert code == 0
    assert (system["rnn_xp"], system["python"]) == (rx.__version__, platform.python_version())
    assert system["numpy"] == np.__version__
    assert system["OMP_NUM_THREADS"] == "3"
    known = backend.available()
    assert result["backends"].keys() == known.keys()
    assert {**result["backends"], "torch": known["torch"]} == known


@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch"])
def test_gradients(capsys, name):
    pytest.importorskip(name)
    code, result = report(capsys, "--backend", name)
    assert (code, result["ok"], result["backend"]) == (0, True, name)
    engine = "numpy" if name == "numpy" else "portable"
    assert result["engines"][3].startswith(f"LSTM(2, 3): {engine} engine, since ")
    assert [check["cell"] for check in result["gradients"]] == [
        "rnn",
        "gru, reset after",
        "gru, reset before",
        "lstm",
    ]
    assert all(check["ok"] and 0 < check["relative_error"] < 1e-8 for check in result["gradients"])


@pytest.mark.parametrize("place", range(6))  # weight_ih, weight_hh, bias_ih, bias_hh, x, h_0
def test_a_wrong_gradient_is_found_wherever_it_is(capsys, monkeypatch, place):
    backward = rx.Recurrent.backward

    def wrong(self, *arguments):
        gradients = backward(self, *arguments)
        leaves = [leaf * (1 + 1e-4 * (i == place)) for i, leaf in enumerate(tree.leaves(gradients))]
        return tree.unflatten(gradients, leaves)

    monkeypatch.setattr(rx.Recurrent, "backward", wrong)
    code, result = report(capsys)
    assert (code, result["ok"]) == (1, False)
    assert not any(check["ok"] for check in result["gradients"])


def test_how_wrong_it_is(capsys, monkeypatch):
    backward = rx.Recurrent.backward

    def wrong(self, *arguments):
        return tree.map(lambda leaf: leaf * (1 + 1e-6), backward(self, *arguments))

    monkeypatch.setattr(rx.Recurrent, "backward", wrong)
    errors = [check["relative_error"] for check in report(capsys)[1]["gradients"]]
    assert errors == pytest.approx([1e-6] * 4, rel=1e-2)


@pytest.mark.parametrize(
    ("pools", "told"),
    [
        (
            [
                {"user_api": "openmp", "num_threads": 8},
                {"user_api": "blas", "num_threads": 2, "architecture": "SkylakeX"},
            ],
            "2 (SkylakeX)",
        ),
        ([{"user_api": "blas", "num_threads": 4, "internal_api": "mkl"}], "4 (mkl)"),
        ([], "unknown: threadpoolctl finds no BLAS that it knows"),
        (None, "unknown: threadpoolctl is not installed"),
    ],
)
def test_threads_of_the_blas(pools, told, capsys, monkeypatch):
    there = None if pools is None else types.SimpleNamespace(threadpool_info=lambda: pools)
    monkeypatch.setitem(sys.modules, "threadpoolctl", there)
    assert report(capsys)[1]["system"]["blas threads"] == told


def test_in_words(capsys):
    assert main(["doctor", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    assert f"python                 {platform.python_version()}\n" in out
    assert "\nnumpy engine, since what is pointwise in a step becomes ufunc calls" in out
    assert out.splitlines()[-1].split()[::2] == ["lstm", "ok"]


# what is wrong, and the command that mends it


HERE = {"blas": "scipy-openblas 0.3", "blas threads": "unknown: threadpoolctl is not installed", "cores": 8}


@pytest.mark.parametrize(
    ("system", "found", "mend"),
    [
        ({}, "8 in the BLAS, as far as can be told", "export OPENBLAS_NUM_THREADS=1"),
        ({"OMP_NUM_THREADS": "4"}, "4 in the BLAS, as far as can be told", "export OPENBLAS_NUM_THREADS=1"),
        ({"blas threads": "2 (SkylakeX)"}, "2 in the BLAS", "export OPENBLAS_NUM_THREADS=1"),
        ({"blas": "mkl-sdl 2024"}, "8 in the BLAS, as far as can be told", "export MKL_NUM_THREADS=1"),
        ({"blas": "accelerate"}, "8 in the BLAS, as far as can be told", "export VECLIB_MAXIMUM_THREADS=1"),
    ],
)
def test_several_threads_are_advised_against(system, found, mend):
    (line,) = threads({**HERE, **system})
    assert (line.found, line.mend, line.fatal) == (found, mend, False)


@pytest.mark.parametrize(
    "system",
    [{"OPENBLAS_NUM_THREADS": "1"}, {"blas threads": "1 (Haswell)"}, {"OMP_NUM_THREADS": "1"}, {"cores": 1}],
)
def test_a_single_thread_is_fine(system):
    assert list(threads({**HERE, **system})) == []


@pytest.mark.parametrize("value", ["abc", "0", "-1", "1.5", "2,", "\N{SUPERSCRIPT TWO}"])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_of_threads_that_is_none(name, value, capsys, monkeypatch):
    monkeypatch.setenv(name, value)
    lines = [line for line in report(capsys)[1]["lines"] if line["name"] == name]
    wrong = "it must be a number of threads, 1 or more; libraries take no notice of anything else"
    line = {"section": "machine", "name": name, "found": value, "wrong": wrong}
    assert lines == [{**line, "mend": f"export {name}=1", "fatal": False}]
    *_, told = threads({**HERE, name: value})
    assert told.found == "8 in the BLAS, as far as can be told"  # as where nothing is set


@pytest.mark.parametrize("value", ["1", " 1 ", "1,2", "not set", ""])
def test_a_number_of_threads_that_is_one(value):
    assert [line.name for line in threads({**HERE, "OMP_NUM_THREADS": value}) if line.name != "threads"] == []


def test_what_is_required():
    assert list(required({"numpy": "2.10.0", "array-api-compat": "1.12"})) == []
    old, missing = required({"numpy": "2.0.2", "array-api-compat": "not installed"})
    assert old == Line(
        "numpy", "2.0.2", "rnn_xp needs numpy 2.1 or newer", 'pip install --upgrade "numpy>=2.1"', True
    )
    assert (missing.mend, missing.fatal) == ('pip install --upgrade "array-api-compat>=1.12"', True)


def test_what_is_required_is_what_the_package_says():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    none = dict.fromkeys(("numpy", "array-api-compat"), "0")
    asked = [line.mend.split('"')[1] for line in required(none)]
    assert asked == project["dependencies"]
    known = project["optional-dependencies"]
    for extra, (_, libraries) in EXTRAS.items():
        assert [f"{name}>={version}" for name, version in libraries.items()] == known[extra]
    others = {"cuda12", "cuda13", "test", "peers", "test-cuda", "bench", "nvrtc", "docs", "dev"}
    assert EXTRAS.keys() >= known.keys() - others


def lines(capsys, section):
    return {line["name"]: line for line in report(capsys)[1]["lines"] if line["section"] == section}


def versions(monkeypatch, **changed):
    """Have libraries be of other versions, or not there (None)."""
    real = metadata.version

    def version(name):
        if name not in changed:
            return real(name)
        if changed[name] is None:
            raise metadata.PackageNotFoundError(name)
        return changed[name]

    monkeypatch.setattr("rnn_xp.verify.machine.version", version)


def test_extras(capsys, monkeypatch):
    versions(
        monkeypatch,
        matplotlib=None,
        onnx="1.20.0",
        onnxruntime=None,
        h5py="3.9.0",
        gmpy2="2.2.1",
        mpmath="1.3.0",
    )
    found = lines(capsys, "extras")
    assert (
        found["plot"]["found"]
        == 'not installed: pip install "rnn-xp[plot]" (in a clone: pip install ".[plot]")'
        "  # pictures: rx.plot, rnn-xp plot"
    )
    onnx = 'pip install "rnn-xp[onnx]" (in a clone: pip install ".[onnx]")'
    assert found["onnx"]["found"].startswith(f"onnx 1.20.0, onnxruntime not installed: {onnx}  # ")
    assert found["verify"]["found"] == "gmpy2 2.2.1, mpmath 1.3.0  # 50 digits: rnn-xp verify"
    assert not any(found[extra]["wrong"] or found[extra]["mend"] for extra in ("plot", "onnx", "verify"))
    assert found["keras"]["wrong"] == "h5py must be 3.10 or newer"
    assert found["keras"]["mend"] == (
        'pip install --upgrade "rnn-xp[keras]" (in a clone: pip install --upgrade ".[keras]")'
    )


def test_a_missing_extra_is_no_failure(capsys, monkeypatch):
    versions(monkeypatch, **{name: None for _, libraries in EXTRAS.values() for name in libraries})
    code, result = report(capsys)
    assert (code, result["ok"]) == (0, True)


def test_a_required_library_that_is_too_old_is_a_failure(capsys, monkeypatch):
    versions(monkeypatch, **{"array-api-compat": "1.4"})
    code, result = report(capsys)
    assert (code, result["ok"]) == (1, False)


def scene(monkeypatch, wheels=(), driver=None, smi=None, more=()):
    """Set the scene: these wheels on record, this driver, and what nvidia-smi answers to what."""
    records = [
        types.SimpleNamespace(metadata={"Name": name}, version="14.0") for name in ("numpy", *wheels, *more)
    ]
    monkeypatch.setattr(metadata, "distributions", lambda: records)
    monkeypatch.setattr(metadata, "version", lambda name: "14.0")
    monkeypatch.setattr(cupy_diagnosis, "driver_version", lambda: driver)
    monkeypatch.setattr("shutil.which", lambda name: smi and f"/usr/bin/{name}")

    def run(command, **options):
        answer = smi[command[1].partition("=")[0]]
        if answer is None:
            raise subprocess.CalledProcessError(9, command)
        return types.SimpleNamespace(stdout=answer)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def told(cupy="available (14.0, <CUDA Device 0>)"):
    return {line.name: line for line in gpu(cupy)}


def test_no_gpu_is_nothing_wrong(monkeypatch):
    scene(monkeypatch)
    found = told(
        'backend "cupy": CuPy is not installed, and no NVIDIA driver was found. Install it: pip install x.'
    )
    assert {name: line.found for name, line in found.items()} == {
        "cupy": "not installed",
        "driver": "none",
        "toolkit, by pip": "none",
        "CUDA_VISIBLE_DEVICES": "not set",
    }
    assert not any(line.wrong or line.mend for line in found.values())


def test_two_wheels_of_cupy(monkeypatch):
    """Even where they seem to work."""
    scene(monkeypatch, wheels=("cupy-cuda12x", "cupy-cuda13x"), driver=13000)
    line = told()["cupy"]
    assert line.found == "cupy-cuda12x 14.0, cupy-cuda13x 14.0"
    assert line.wrong == (
        "several CuPy packages are installed and overwrite each other: cupy-cuda12x, cupy-cuda13x."
    )
    assert line.mend == 'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda13x[ctk]"'


@pytest.mark.parametrize(
    ("error", "driver", "wrong", "mend"),
    [
        (RuntimeError("x"), None, "no NVIDIA driver was found", "docker run --gpus all"),
        (
            ImportError("libnvrtc.so.12: not found"),
            12040,
            "libnvrtc.so of the CUDA",
            'pip install "cupy-cuda12x[ctk]"',
        ),
        (RuntimeError("cudaErrorNoDevice: none"), 12040, "no GPU is visible", "nvidia-smi -L"),
        (
            RuntimeError("new"),
            12040,
            "CuPy fails with RuntimeError",
            'python -c "import cupy; cupy.show_config()"',
        ),
        (
            RuntimeError("x"),
            11080,
            "cupy-cuda12x needs a driver for CUDA 12",
            "pip uninstall -y cupy-cuda12x && pip",
        ),
    ],
)
def test_cupy_that_cannot_work(error, driver, wrong, mend, monkeypatch):
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=driver)
    why = cupy_diagnosis.explain(error, ["cupy-cuda12x"], driver)
    line = told(f'backend "cupy": {why}')["cupy"]
    assert line.wrong.startswith(wrong)
    assert line.mend.startswith(mend)
    assert "To run on the CPU" not in line.wrong + line.mend


def test_a_driver_without_cupy(monkeypatch):
    scene(monkeypatch, driver=12080)
    found = told('backend "cupy": CuPy is not installed, and so on.')
    assert found["driver"].found == "supports CUDA 12.8"
    assert found["cupy"].wrong == "a GPU may be here, and CuPy is not."
    assert found["cupy"].mend == 'pip install "cupy-cuda12x[ctk]"'


def test_devices_and_the_toolkit(monkeypatch):
    listed = "GPU 0: NVIDIA H100 PCIe (UUID: GPU-1)\n  MIG 1g.10gb     Device  0: (UUID: MIG-2)\n"
    smi = {"-L": listed, "--query-gpu": "Enabled\n"}
    toolkit = ("nvidia-cublas-cu12", "nvidia-cuda-nvrtc", "cuda-toolkit", "nvidia-ml-py", "nvidia-nccl-cu12")
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=12080, smi=smi, more=toolkit)
    found = told()
    assert found["GPU 0"].found == "NVIDIA H100 PCIe"
    assert any("MIG 1g.10gb" in name for name in found)
    assert "MIG" not in found
    assert (
        found["toolkit, by pip"].found == "cuda-toolkit 14.0, nvidia-cublas-cu12 14.0, nvidia-cuda-nvrtc 14.0"
    )
    assert not any(line.wrong for line in found.values())


def test_mig_without_an_instance(monkeypatch):
    smi = {"-L": "GPU 0: NVIDIA H100 PCIe (UUID: GPU-1)\n", "--query-gpu": "Enabled\n"}
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=12080, smi=smi)
    assert told()["MIG"].mend == "sudo nvidia-smi mig -cgi 0 -C"
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=12080, smi={**smi, "--query-gpu": "[N/A]\n"})
    assert "MIG" not in told()


def test_a_driver_that_sees_nothing(monkeypatch):
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=12080, smi={"-L": None})
    assert told()["devices"].wrong == "the driver is there, and sees no GPU"
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=12080)
    assert told()["devices"].found == "unknown: there is no nvidia-smi"


@pytest.mark.parametrize(("visible", "hides"), [("", True), ("-1", True), ("0", False), ("MIG-2", False)])
def test_gpus_that_are_hidden(visible, hides, monkeypatch):
    scene(monkeypatch, wheels=("cupy-cuda12x",), driver=12080)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    line = told()["CUDA_VISIBLE_DEVICES"]
    assert line.found == (visible or "empty")
    assert line.mend == ("unset CUDA_VISIBLE_DEVICES" if hides else "")


def test_what_the_environment_overrides(capsys, monkeypatch):
    monkeypatch.setenv("RNN_XP_ENGINE", "portable")
    monkeypatch.setenv("RNN_XP_BACKEND", "numpy")
    found = lines(capsys, "machine")
    assert found["RNN_XP_ENGINE"]["mend"] == "unset RNN_XP_ENGINE"
    assert found["RNN_XP_BACKEND"]["found"] == "numpy"


def test_a_backend_that_is_slow_to_load_stays_closed():
    """Its version is told by what is installed; the library is not imported."""
    program = (
        "import sys; from rnn_xp.cli import main; main(['doctor']); "
        "print(*{'torch', 'keras', 'matplotlib', 'sklearn', 'onnx', 'h5py'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    assert re.search(
        r"^torch +(not installed|installed \(.*\); --backend torch opens it)$", done.stdout, re.M
    )


def test_what_is_wrong_stands_with_what_mends_it(capsys, monkeypatch):
    monkeypatch.setenv("RNN_XP_ENGINE", "portable")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert (
        f"RNN_XP_ENGINE          portable\n{'':<22} ! it overrides the choice of the engine\n"
        f"{'':<22}   mend it: unset RNN_XP_ENGINE\n"
    ) in out
