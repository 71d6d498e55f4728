"""The contenders: who they are, and how to ask them, each in a process of its own for the whole run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple

from record import ROOT


class Kind(NamedTuple):
    """What a contender is."""

    library: str
    label: str
    environment: dict[str, str] = {}  # noqa: RUF012


KINDS = {
    "rnn_xp": Kind("rnn_xp", "rnn_xp"),
    "rnn_xp_avx2": Kind("rnn_xp", "rnn_xp, AVX2 BLAS", {"OPENBLAS_CORETYPE": "Haswell"}),
    "torch": Kind("torch", "PyTorch"),
    "jax": Kind("jax", "JAX"),
    "onnxruntime": Kind("onnxruntime", "ONNX Runtime"),
    "numpy": Kind("numpy", "bare NumPy"),
}
"""Those named rnn_xp* are this package: as it is installed, and with the kernels of an older CPU's BLAS."""

OTHER_KERNELS = "rnn_xp_avx2"
OURS = ("rnn_xp", OTHER_KERNELS)
PEERS = ("torch", "jax")

AVX512_CPU = {"X86_V4", "AVX512_SKX"}  # as NumPy names it, before 2.4 and since
AVX512_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # as OpenBLAS names them

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
ONE_THREAD_XLA = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
UNSET = (
    *("XLA_FLAGS", "RNN_XP_BACKEND", "RNN_XP_ENGINE", "PYTHONDONTWRITEBYTECODE"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),  # OpenBLAS chooses its kernels itself
)
"""What must not come from outside: it would change who the contenders are, or how long they take to load."""


class FailedError(Exception):
    """A contender did not do what it was asked for."""


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the variables of a contender's process."""
    kept = {key: value for key, value in os.environ.items() if key not in UNSET}
    path = [str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    kept |= {"PYTHONPATH": os.pathsep.join(filter(None, path)), "JAX_PLATFORMS": "cpu"}
    kept |= dict.fromkeys(THREADS, str(threads)) | KINDS[name].environment
    return kept | ({"XLA_FLAGS": ONE_THREAD_XLA} if threads == 1 else {})


class Contender:
    """A process that is asked over a pipe, one thing at a time."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.ended = ""
        self._told = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cpu_speed.worker", KINDS[name].library],
            env=environment(name, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            text=True,
            start_new_session=True,  # Ctrl-C is for the controller, which then closes it
        )

    def hello(self) -> dict[str, Any]:
        """Wait until it is there; return what it says of itself."""
        facts: dict[str, Any] = self._answer()
        return facts

    def ask(self, do: str, **what: Any) -> Any:
        """Ask for something, and wait for it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says so
            print(json.dumps({"do": do, **what}), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._told.seek(0)
            last = self._told.read().strip().splitlines()[-1:] or ["it said nothing"]
            self.ended = f"its process ended with exit code {self._process.wait()}: {last[0][:300]}"
            raise FailedError(self.ended)
        answer = json.loads(line)
        if "error" in answer:
            raise FailedError(" ".join(answer["error"].split())[:500])
        return answer["result"]

    def close(self) -> None:
        """End its process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._told.close()


class Roster:
    """All contenders of a run, started when they are first called for, and who is absent, and why."""

    def __init__(self) -> None:
        self.absent: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self._there: dict[tuple[str, int], Contender] = {}

    def __enter__(self) -> Roster:
        return self

    def __exit__(self, *_: object) -> None:
        for contender in self._there.values():
            contender.close()

    def call(self, names: Iterable[str], threads: int = 1) -> dict[str, Contender]:
        """Return those of the contenders who are there; rnn_xp must be among those of OURS."""
        for (name, _), contender in list(self._there.items()):
            if contender.ended:
                self.leave_out(name, contender.ended)
        names = list(names)
        self._start([name for name in names if name != OTHER_KERNELS], threads)
        if OTHER_KERNELS in names and OTHER_KERNELS not in self.absent:
            if why := no_other_kernels(self.facts["rnn_xp"]):
                self.absent[OTHER_KERNELS] = why
            self._start([OTHER_KERNELS], threads)
        return {name: self._there[name, threads] for name in names if (name, threads) in self._there}

    def _start(self, names: list[str], threads: int) -> None:
        """Start who is not there yet, all at once: they load for a second or two."""
        new = [name for name in names if name not in self.absent and (name, threads) not in self._there]
        for name in new:
            self._there[name, threads] = Contender(name, threads)
        for name in new:
            try:
                self.facts[name] = self._there[name, threads].hello()
                if name == OTHER_KERNELS and kernels(self.facts[name]) in AVX512_KERNELS:
                    self.leave_out(name, "OpenBLAS did not take up the kernels that it was told to")
            except FailedError as error:
                if name == "rnn_xp":
                    raise
                self.leave_out(name, str(error))

    def leave_out(self, name: str, why: str) -> None:
        """Do without a contender from now on."""
        self.absent[name] = why
        for key in [key for key in self._there if key[0] == name]:
            self._there.pop(key).close()


def kernels(facts: dict[str, Any]) -> str | None:
    """Return whose kernels OpenBLAS runs, by its own name for them."""
    blas = facts.get("blas") or {}
    return blas.get("architecture") if blas.get("internal_api") == "openblas" else None


def no_other_kernels(facts: dict[str, Any]) -> str | None:
    """Say why OpenBLAS's kernels for AVX2 are not worth a contender of their own; None if they are."""
    if not AVX512_CPU & set(facts["simd"]):
        return "this CPU has no AVX-512"
    if facts["blas"] is None:
        return "threadpoolctl, which says what kernels OpenBLAS runs, is not installed"
    if kernels(facts) is None:
        return f"NumPy's BLAS is {facts['blas']['internal_api']}, not OpenBLAS"
    if kernels(facts) not in AVX512_KERNELS:
        return f"OpenBLAS runs its {kernels(facts)} kernels as it is"
    return None
