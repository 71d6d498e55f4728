"""Backends: what they convert and refuse, how they are chosen, and what is said where one cannot be had."""

import dataclasses
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnn_xp.backend import (
    Backend,
    BackendError,
    available,
    backend_of,
    check_writable_views,
    cupy_diagnosis,
    get_backend,
    namespace,
    to_numpy,
)

CHOICES = [("numpy", None), ("array_api_strict", None), ("array_api_strict", "device1"), ("torch", "cpu")]
PRECISIONS = ["float32", "float64"]


@pytest.fixture(params=CHOICES, ids=lambda choice: "-".join(filter(None, choice)))
def choice(request: pytest.FixtureRequest) -> tuple[str, str | None]:
    if util.find_spec(request.param[0]) is None:
        pytest.skip(f"{request.param[0]} is not installed")
    return request.param


@pytest.fixture(params=PRECISIONS)
def backend(choice: tuple[str, str | None], request: pytest.FixtureRequest) -> Backend:
    return get_backend(choice[0], device=choice[1], dtype=request.param)


@pytest.fixture
def other() -> Backend:
    pytest.importorskip("array_api_strict")
    return get_backend("array_api_strict", device="device1")


# --- conversion


def test_a_backend_says_where_and_in_what_it_computes(
    backend: Backend, choice: tuple[str, str | None]
) -> None:
    made = backend.xp.zeros((2,), dtype=backend.dtype, device=backend.device)
    assert backend.name == choice[0]
    assert made.dtype == backend.dtype == getattr(backend.xp, backend.precision)
    assert made.device == backend.device
    assert choice[1] is None or choice[1] in str(backend.device)
    backend.synchronize()


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        [0.5, 1],
        np.float16([0.5]),
        np.arange(6.0)[::-2],
        np.arange(6.0).reshape(2, 3).T,
        np.array([0.25, 3.0], dtype=">f4"),
        np.zeros((0, 3), dtype="float32"),
        np.longdouble(2.5),
    ],
    ids=["scalar", "list", "half", "reversed", "transposed", "big-endian", "empty", "long"],
)
def test_floats_take_the_dtype_and_device_of_the_backend(backend: Backend, value: Any) -> None:
    array = backend.asarray(value)
    assert namespace(array=array) is backend.xp
    assert (array.dtype, array.device, tuple(array.shape)) == (backend.dtype, backend.device, np.shape(value))
    host = backend.to_numpy(array)
    assert type(host) is np.ndarray
    assert host.dtype == backend.precision
    np.testing.assert_array_equal(host, np.asarray(value, dtype=backend.precision))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([3, -4], "int64"),
        (np.uint8([3, 255]), "int64"),
        (7, "int64"),
        ([True, False], "bool"),
        (np.bool_(True), "bool"),
    ],
)
def test_integers_and_booleans_stay_what_they_are(backend: Backend, value: Any, dtype: str) -> None:
    array = backend.asarray(value)
    assert array.dtype == getattr(backend.xp, dtype)
    host = backend.to_numpy(array)
    assert host.dtype == dtype
    np.testing.assert_array_equal(host, value)


def test_a_dtype_that_is_asked_for_is_given(backend: Backend) -> None:
    assert backend.asarray([1, 0], backend.xp.int32).dtype == backend.xp.int32
    assert backend.asarray([1, 0], backend.dtype).dtype == backend.dtype
    assert backend.asarray(backend.asarray([1, 0]), backend.dtype).dtype == backend.dtype


def test_arrays_of_the_same_library_are_converted_and_moved(choice: tuple[str, str | None]) -> None:
    source = get_backend(choice[0], dtype="float64")
    target = get_backend(choice[0], device=choice[1], dtype="float32")
    for value, dtype in (([0.5, 2.0], "float32"), ([3, 4], "int64"), ([True], "bool")):
        moved = target.asarray(source.asarray(value))
        assert moved.device == target.device
        assert moved.dtype == getattr(target.xp, dtype)
        np.testing.assert_array_equal(target.to_numpy(moved), value)


def test_read_only_arrays_are_taken_and_never_written(backend: Backend) -> None:
    value = np.ones((2, 3), dtype=backend.precision)
    value.flags.writeable = False
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(value)), value)


def test_what_comes_back_to_the_host_is_the_callers_own(backend: Backend) -> None:
    array = backend.asarray([1.0, 2.0])
    backend.to_numpy(array)[...] = 0
    np.testing.assert_array_equal(backend.to_numpy(array), [1.0, 2.0])


@pytest.mark.parametrize("value", ["abc", ["a"], [None], [1j], np.array([{}])], ids=repr)
def test_what_is_not_a_real_number_is_refused(backend: Backend, value: Any) -> None:
    with pytest.raises(TypeError, match=r"`value` must hold real numbers, integers or booleans; got dtype"):
        backend.asarray(value)


def test_masked_arrays_are_refused(backend: Backend) -> None:
    message = r"`value` must be a plain array; got numpy\.MaskedArray: its own rules would be lost"
    with pytest.raises(TypeError, match=message):
        backend.asarray(np.ma.masked_equal([1.0, 2.0], 2.0))


def test_arrays_of_another_library_are_refused(other: Backend) -> None:
    backend, foreign = get_backend("numpy"), other.asarray([1.0])
    for name, function in (("value", backend.asarray), ("array", backend.to_numpy)):
        message = rf"`{name}` must be a host array or an array of numpy; got array_api_strict\.Array.*first"
        with pytest.raises(TypeError, match=message):
            function(foreign)
    np.testing.assert_array_equal(backend.asarray(other.to_numpy(foreign)), [1.0])


def test_lists_are_not_arrays_to_copy_back(backend: Backend) -> None:
    with pytest.raises(
        TypeError, match=r"`array` must be an array; got list\. Convert it: `backend\.asarray"
    ):
        backend.to_numpy([1.0])


@pytest.mark.parametrize("value", [[0.5, -2.0], [3, 4], [True, False]], ids=repr)
def test_any_array_is_copied_to_the_host(backend: Backend, value: Any) -> None:
    array = backend.asarray(value)
    host = to_numpy(array)
    assert type(host) is np.ndarray
    np.testing.assert_array_equal(host, value)
    assert host.dtype == (backend.precision if isinstance(value[0], float) else np.asarray(value).dtype)
    host[...] = 1
    np.testing.assert_array_equal(backend.to_numpy(array), value)


def test_only_arrays_are_copied_to_the_host() -> None:
    for value, kind in (([1.0], "list"), (np.ma.masked_equal([1.0], 1.0), r"numpy\.MaskedArray")):
        with pytest.raises(TypeError, match=rf"`array` must be an array; got {kind}\."):
            to_numpy(value)
        with pytest.raises(TypeError, match=rf"`array` must be an array; got {kind}\."):
            get_backend("numpy").to_numpy(value)


def test_an_array_has_the_backend_that_made_it(backend: Backend) -> None:
    assert backend_of(backend.asarray([1.0])) == backend
    with pytest.raises(TypeError, match=r"`array` must hold float32 or float64; got .*int64\."):
        backend_of(backend.asarray([1]))
    with pytest.raises(TypeError, match=r"`array` must be an array; got list\."):
        backend_of([1.0])


# --- namespaces


def test_arrays_of_one_library_have_its_namespace(backend: Backend) -> None:
    a, b = backend.asarray([1.0]), backend.asarray([1])
    assert namespace(x=a) is backend.xp
    assert namespace(params=[a, b], x=b, state=[]) is backend.xp


def test_numpy_scalars_and_memory_maps_are_numpy_arrays(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "x", dtype="float32", mode="w+", shape=(2,))
    assert namespace(params=[np.zeros(2)], x=np.float32(1), y=mapped) is np


def test_mixed_libraries_are_refused_by_name(other: Backend) -> None:
    message = (
        r"all arrays must belong to one library; got numpy \(`params`\) and array_api_strict \(`x`\)\. "
        r"Nothing is copied implicitly: .*`backend\.asarray\(\.\.\.\)`"
    )
    with pytest.raises(TypeError, match=message):
        namespace(params=[np.zeros(2), np.zeros(3)], x=other.asarray([1.0]))


@pytest.mark.parametrize(
    ("value", "name", "kind"),
    [
        ([1.0], "x[0]", "float"),
        ([np.zeros(1), [1.0]], "x[1]", "list"),
        ((np.zeros(1),), "x", "tuple"),
        (1.0, "x", "float"),
        ("abc", "x", "str"),
        (None, "x", "NoneType"),
        (np.ma.masked_equal([1.0], 1.0), "x", "numpy.MaskedArray"),
        (type("DataFrame", (), {"__module__": "pandas.core.frame"})(), "x", "pandas.DataFrame"),
        (type("csr_matrix", (), {"__module__": "scipy.sparse"})(), "x", "scipy.csr_matrix"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_an_array_is_refused_by_name(value: Any, name: str, kind: str) -> None:
    with pytest.raises(
        TypeError, match=re.escape(f"`{name}` must be an array; got {kind}. Convert it: `backend.asa")
    ):
        namespace(params=[np.zeros(2)], x=value)


# --- choice


def test_argument_goes_over_environment_over_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("array_api_strict")
    without_cupy(monkeypatch)
    monkeypatch.setenv("RNN_XP_BACKEND", "array_api_strict")
    assert get_backend().name == "array_api_strict"
    assert get_backend("numpy").name == "numpy"
    assert get_backend("auto").name == "numpy"
    for unset in (
        lambda: monkeypatch.setenv("RNN_XP_BACKEND", ""),
        lambda: monkeypatch.delenv("RNN_XP_BACKEND"),
    ):
        unset()
        assert get_backend().name == "numpy"


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "'numpy', 'cupy', 'array_api_strict', 'torch', 'auto'"
    with pytest.raises(ValueError, match=f"`backend` must be one of {names}; got 'jax'"):
        get_backend("jax")
    monkeypatch.setenv("RNN_XP_BACKEND", "gpu")
    with pytest.raises(ValueError, match=f"`RNN_XP_BACKEND` must be one of {names}; got 'gpu'"):
        get_backend()
    with pytest.raises(ValueError, match="`dtype` must be one of 'float32', 'float64'; got 'float16'"):
        get_backend("numpy", dtype="float16")


def test_a_backend_is_returned_as_it_is() -> None:
    backend = get_backend("numpy", dtype="float64")
    assert get_backend(backend) is backend
    with pytest.raises(ValueError, match=r"`device` must be None where `name` is a Backend, .*; got 'cpu'"):
        get_backend(backend, device="cpu")


def test_numpy_has_one_device() -> None:
    assert get_backend("numpy", device="cpu").device == "cpu"
    with pytest.raises(
        BackendError, match=r'`device` must be None or "cpu"; got 0\. For a GPU: backend="cupy"'
    ):
        get_backend("numpy", device=0)


@pytest.mark.parametrize(
    ("name", "device"), [("array_api_strict", "gpu"), ("torch", "nowhere"), ("torch", "meta")]
)
def test_devices_that_a_library_lacks_are_refused(name: str, device: str) -> None:
    pytest.importorskip(name)
    with pytest.raises(
        BackendError, match=rf'backend "{name}": `device` \'{device}\' cannot be used: \w+: '
    ) as caught:
        get_backend(name, device=device)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(("name", "package"), [("array_api_strict", "array-api-strict"), ("torch", "torch")])
def test_missing_libraries_come_with_their_command(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "array_api_compat.torch", raising=False)
    with pytest.raises(
        BackendError, match=rf'backend "{name}": ModuleNotFoundError: .*pip install {package}; or'
    ):
        get_backend(name)
    assert "pip install" in available()[name]


def test_available_has_a_line_for_every_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cupy(monkeypatch)
    report = available()
    assert list(report) == ["numpy", "cupy", "array_api_strict", "torch"]
    assert report["numpy"] == f"available ({np.__version__}, cpu)"
    assert report["cupy"].startswith('backend "cupy": CuPy is not installed')
    assert not any("\n" in line for line in report.values())


def test_importing_backend_loads_numpy_alone() -> None:
    program = "import sys, rnn_xp.backend as b; b.get_backend('numpy').asarray([1.0]); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    roots = {module.partition(".")[0] for module in result.stdout.split()}
    assert "numpy" in roots
    assert not roots & {"array_api_compat", "array_api_strict", "cupy", "torch"}


# --- writable views


class CopyingArray(np.ndarray):
    """An array whose slices are copies."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key).copy()


class FrozenArray(np.ndarray):
    """An array that refuses to be written."""

    def __getitem__(self, key: Any) -> Any:
        view = super().__getitem__(key)
        view.flags.writeable = False
        return view


@pytest.mark.parametrize("kind", [CopyingArray, FrozenArray])
def test_libraries_without_writable_views_are_refused(kind: type[np.ndarray]) -> None:
    zeros = lambda shape, device: np.zeros(shape).view(kind)  # noqa: E731
    library = SimpleNamespace(__name__="copies", zeros=zeros, reshape=np.reshape)
    with pytest.raises(
        BackendError, match=r"copies cannot be a backend: writing to a slice, .* does not change"
    ):
        check_writable_views(library)


def test_libraries_whose_reshape_copies_are_refused() -> None:
    def reshape(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.array(array).reshape(shape)

    library = SimpleNamespace(__name__="copies", zeros=lambda shape, device: np.zeros(shape), reshape=reshape)
    with pytest.raises(BackendError, match="or to a reshaped array, does not change"):
        check_writable_views(library)


def test_the_dtype_of_a_backend_is_its_own(numpy64: Backend) -> None:
    assert get_backend(numpy64) is numpy64
    assert get_backend(numpy64, dtype="float64") is numpy64
    with pytest.raises(
        ValueError, match="`dtype` must be 'float64', that of the Backend, or None; got 'float32'"
    ):
        get_backend(numpy64, dtype="float32")


def test_libraries_with_writable_views_pass(backend: Backend) -> None:
    check_writable_views(backend.xp, backend.device)


def test_hardware_is_the_processor() -> None:
    info = Path("/proc/cpuinfo")
    known = info.read_text(encoding="utf-8") if info.is_file() else ""
    name = get_backend("numpy").hardware
    assert f": {name}\n" in known if "model name" in known else name


# --- CuPy, played by stand-ins


def without_cupy(
    monkeypatch: pytest.MonkeyPatch, wheels: tuple[str, ...] = (), driver: int | None = None
) -> None:
    """Set the scene: no CuPy to import, these wheels on record, this driver."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    records = [SimpleNamespace(metadata={"Name": name}) for name in ("numpy", "cupy-xarray", *wheels)]
    monkeypatch.setattr(metadata, "distributions", lambda: records)
    monkeypatch.setattr(cupy_diagnosis, "driver_version", lambda: driver)


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for an error of the CUDA runtime."""


def with_cupy(
    monkeypatch: pytest.MonkeyPatch,
    devices: Callable[[], int] = lambda: 2,
    zeros: Callable[..., Any] = lambda shape, dtype=None, device=None: np.zeros(shape, dtype),
) -> SimpleNamespace:
    """Play a CuPy that sees `devices()` GPUs and computes with NumPy; return what it was asked to do."""
    done = SimpleNamespace(used=[], synchronized=0, limit=0)

    def device(index: int | None) -> Any:
        return SimpleNamespace(use=lambda: done.used.append(index), id=index or 0)

    def synchronize() -> None:
        done.synchronized += 1

    cupy = ModuleType("cupy")
    pool = SimpleNamespace(free_bytes=lambda: 200, used_bytes=lambda: 100, get_limit=lambda: done.limit)
    cupy.__version__ = "14.2.0"  # type: ignore[attr-defined]
    cupy.get_default_memory_pool = lambda: pool  # type: ignore[attr-defined]
    cupy.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        Device=device,
        get_current_stream=lambda: SimpleNamespace(synchronize=synchronize),
        runtime=SimpleNamespace(
            getDeviceCount=devices,
            getDeviceProperties=lambda index: {"name": f"NVIDIA H{index}00".encode()},
            memGetInfo=lambda: (5000, 9000),
        ),
    )
    compat = ModuleType("array_api_compat.cupy")
    compat.float32, compat.float64 = np.float32, np.float64  # type: ignore[attr-defined]
    compat.zeros, compat.ones, compat.reshape = zeros, np.ones, np.reshape  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", compat)
    return done


def raising(error: Exception) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(("device", "index"), [(None, None), (1, 1), ("cuda:1", 1)])
def test_cupy_makes_its_device_the_current_one(
    monkeypatch: pytest.MonkeyPatch, device: Any, index: Any
) -> None:
    done = with_cupy(monkeypatch)
    backend = get_backend("cupy", device=device, dtype="float64")
    assert (backend.name, backend.dtype, done.used) == ("cupy", np.float64, [index])
    backend.synchronize()
    assert done.synchronized == 1
    assert available()["cupy"] == f"available (14.2.0, {backend.device})"
    assert dataclasses.replace(backend, device=SimpleNamespace(id=1)).hardware == "NVIDIA H100"


@pytest.mark.parametrize(("limit", "free"), [(0, 5200), (1000, 900), (100_000, 5200)])
def test_cupy_has_the_free_memory_of_its_device_and_of_its_pool(
    monkeypatch: pytest.MonkeyPatch, limit: int, free: int
) -> None:
    done = with_cupy(monkeypatch)
    done.limit = limit
    assert get_backend("cupy").free_memory == free


def test_torch_has_the_free_memory_of_its_device_and_of_its_pool() -> None:
    answers = {"mem_get_info": (5000, 9000), "memory_reserved": 300, "memory_allocated": 100}
    device = SimpleNamespace(type="cuda", index=1)
    asked = []

    def answering(name: str) -> Callable[[Any], Any]:
        return lambda device: asked.append(device) or answers[name]

    xp = SimpleNamespace(cuda=SimpleNamespace(**{name: answering(name) for name in answers}))
    assert Backend("torch", xp, device, None, "float32").free_memory == 5200
    assert asked == [device] * 3


def test_a_backend_is_hashed_without_its_device(backend: Backend) -> None:
    """CuPy's Device refuses to be hashed."""
    assert len({backend, dataclasses.replace(backend, device=[])}) == 2


def test_the_memory_of_the_host_is_not_asked_for(backend: Backend) -> None:
    assert backend.free_memory is None


# --- TF32


@pytest.mark.parametrize(
    ("name", "value"),
    [("CUPY_TF32", "1"), ("CUPY_TF32", " 2"), ("NVIDIA_TF32_OVERRIDE", "1")],
)
def test_tf32_is_refused_unless_it_is_meant(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    done = with_cupy(monkeypatch)
    monkeypatch.setenv(name, value)
    switch = f"{name}={value.strip()}"
    must = rf"`{name}` must be 0 or unset, for .*; got '{value.strip()}'"
    message = rf'backend "cupy": {must}\. Unset it; or .*: export RNN_XP_TF32=1\.$'
    for ask in ("cupy", "auto"):
        with pytest.raises(BackendError, match=message):
            get_backend(ask)
    assert done.used == []  # before CuPy multiplies, which would make it remember
    assert re.match(message, available()["cupy"])
    assert get_backend("cupy", dtype="float64").precision == "float64"
    monkeypatch.setenv("RNN_XP_TF32", "1")
    backend = get_backend("cupy")
    assert available()["cupy"] == f"available (14.2.0, {backend.device}, TF32 by {switch})"


@pytest.mark.parametrize("value", ["", "0"])
def test_tf32_that_is_off_is_no_matter(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with_cupy(monkeypatch)
    for name in ("CUPY_TF32", "NVIDIA_TF32_OVERRIDE", "RNN_XP_TF32"):
        monkeypatch.setenv(name, value)
    assert "TF32" not in available()["cupy"]
    monkeypatch.setenv("RNN_XP_TF32", "yes")
    with pytest.raises(ValueError, match="`RNN_XP_TF32` must be one of '', '0', '1'; got 'yes'"):
        get_backend("cupy")


def test_tf32_is_no_matter_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cupy(monkeypatch)
    monkeypatch.setenv("CUPY_TF32", "1")
    assert get_backend("auto").name == "numpy"
    assert "CuPy is not installed" in available()["cupy"]


# --- CuPy that cannot be had


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:", "cuda:-1", "cpu"])
def test_cupy_refuses_malformed_devices(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    with_cupy(monkeypatch)
    message = rf'backend "cupy": `device` must be a number or "cuda:N"; got \'{device}\''
    with pytest.raises(BackendError, match=message):
        get_backend("cupy", device=device)


def test_cupy_refuses_devices_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cupy(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    message = r"`device` must be below 2, the number of visible GPUs; got 2\. CUDA_VISIBLE_DEVICES: 3,5\."
    with pytest.raises(BackendError, match=message):
        get_backend("cupy", device=2)


FRAMED = "\n====\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: {}\n====\n"
NO_DEVICE = CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
TOO_OLD = CUDARuntimeError(
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
NO_NVRTC = RuntimeError(
    "CuPy failed to load libnvrtc.so.12: OSError: libnvrtc.so.12: cannot open shared object file"
)
NO_CUDART = ImportError(
    FRAMED.format("libcudart.so.12: cannot open shared object file: No such file or directory")
)


@pytest.mark.parametrize(
    ("error", "wheels", "driver", "message"),
    [
        (TOO_OLD, ("cupy-cuda12x",), None, r"no NVIDIA driver was found .*docker run --gpus all"),
        (NO_CUDART, ("cupy-cuda12x",), None, r"no NVIDIA driver was found"),
        (
            NO_CUDART,
            ("cupy-cuda12x",),
            13000,
            r'libcudart\.so of the CUDA toolkit.*pip install "cupy-cuda12x\[ctk\]"',
        ),
        (
            NO_NVRTC,
            ("cupy-cuda12x",),
            12040,
            r'libnvrtc\.so of the CUDA toolkit.*pip install "cupy-cuda12x\[ctk\]"',
        ),
        (
            RuntimeError("CuPy failed to load nvrtc64_130_0.dll: FileNotFoundError: Could not find module"),
            ("cupy-cuda13x",),
            13000,
            r'nvrtc64_130_0\.dll of the CUDA toolkit.*pip install "cupy-cuda13x\[ctk\]"',
        ),
        (
            TOO_OLD,
            ("cupy-cuda13x",),
            12040,
            r"cupy-cuda13x needs a driver for CUDA 13, and this driver supports CUDA 12\.4\. Update the "
            r'driver, or: pip uninstall -y cupy-cuda13x && pip install "cupy-cuda12x\[ctk\]"',
        ),
        (
            NO_NVRTC,
            ("cupy-cuda12x", "cupy-cuda13x"),
            13000,
            r"several CuPy packages are installed and overwrite each other: cupy-cuda12x, cupy-cuda13x\. "
            r'Keep one: pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda13x\[ctk\]"',
        ),
        (
            NO_DEVICE,
            ("cupy-cuda12x",),
            12040,
            r"no GPU is visible \(CUDA_VISIBLE_DEVICES: empty\).*nvidia-smi -L",
        ),
        (
            ImportError(FRAMED.format("something new.")),
            ("cupy",),
            12040,
            r"CuPy fails with ImportError: ImportError: something new\. Look into it: .*show_config",
        ),
        (RuntimeError(), ("cupy-cuda12x",), 12040, r"CuPy fails with RuntimeError: no message\. Look"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["at the first call", "at the first array"])
def test_cupy_that_cannot_work_is_diagnosed(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    wheels: Any,
    driver: int | None,
    message: str,
    late: bool,
) -> None:
    without_cupy(monkeypatch, wheels, driver)
    with_cupy(monkeypatch, **{"zeros" if late else "devices": raising(error)})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(
        BackendError, match=f'^backend "cupy": {message}.*To run on the CPU: backend="numpy"\\.$'
    ) as caught:
        get_backend("cupy")
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("driver", "seen", "wheel"),
    [
        (None, "no NVIDIA driver was found", "cuda13x"),
        (12040, r"the NVIDIA driver supports CUDA 12\.4", "cuda12x"),
        (13010, r"the NVIDIA driver supports CUDA 13\.1", "cuda13x"),
    ],
)
def test_cupy_that_is_missing_is_offered_for_the_driver(
    monkeypatch: pytest.MonkeyPatch, driver: int | None, seen: str, wheel: str
) -> None:
    without_cupy(monkeypatch, driver=driver)
    with pytest.raises(BackendError, match=rf'CuPy is not installed, and {seen}\. .*"cupy-{wheel}\[ctk\]"'):
        get_backend("cupy")


def test_auto_takes_cupy_where_it_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_cupy(monkeypatch)
    with caplog.at_level(logging.INFO, logger="rnn_xp"):
        assert get_backend("auto").name == "cupy"
    (line,) = caplog.messages
    assert line.startswith("backend auto: chose cupy on device")


def test_auto_takes_numpy_elsewhere_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_cupy(monkeypatch)
    with caplog.at_level(logging.INFO, logger="rnn_xp"):
        assert get_backend("auto").name == get_backend("auto", device="cpu").name == "numpy"
    assert len(caplog.messages) == 2
    assert re.match(r"backend auto: chose numpy on device cpu; CuPy: .* is not installed", caplog.messages[0])


def test_auto_with_a_gpu_asked_for_does_not_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cupy(monkeypatch)
    with pytest.raises(BackendError, match="CuPy is not installed"):
        get_backend("auto", device="cuda:0")


def test_the_driver_is_asked_for_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def answering(code: int) -> Callable[[str], Any]:
        def version(pointer: Any) -> int:
            pointer._obj.value = 12080
            return code

        return lambda name: SimpleNamespace(cuDriverGetVersion=version)

    monkeypatch.setattr("ctypes.CDLL", answering(0))
    assert cupy_diagnosis.driver_version() == 12080
    monkeypatch.setattr("ctypes.CDLL", answering(999))
    assert cupy_diagnosis.driver_version() is None
    monkeypatch.setattr("ctypes.CDLL", raising(OSError("libcuda.so.1: cannot open shared object file")))
    assert cupy_diagnosis.driver_version() is None
