"""What the measurements ask of a device: events, memory, fusion, facts; on CUDA, and on the host instead.

CUDA is spoken to through CuPy alone; PyTorch computes on the same default stream, so that CuPy's events time
it too.
"""

from __future__ import annotations

import subprocess
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

from gpu.session import told


class Times(NamedTuple):
    """What a call took, in seconds."""

    host: float  # until it returned
    device: float  # between an event before it and one after it
    total: float  # until the device had done everything


class HostDevice:
    """The host, which stands in for a GPU in a dry run."""

    out_of_memory: tuple[type[BaseException], ...] = (MemoryError,)

    def share_with(self, torch: Any) -> None:
        """Know that PyTorch uses the same memory from now on."""

    def event(self) -> Any:
        """Return an event that can be recorded, and waited for."""
        return HostEvent()

    def seconds(self, start: Any, end: Any) -> float:
        """Return the time between two recorded events."""
        return float(end.time - start.time)

    def synchronize(self) -> None:
        """Wait until the device is done."""

    def free(self) -> None:
        """Give back the memory that nothing uses."""

    def peak(self, call: Callable[[], Any]) -> dict[str, int]:
        """Return the bytes in use at the worst moment of a call, and those then held."""
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"peak": peak, "held": peak}

    def fuse(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a pointwise function as one kernel."""
        return function

    def facts(self) -> dict[str, Any]:
        """Say what the device is."""
        return {"name": "none: a dry run on the host", "compute_capability": None, "memory": None}

    def timed(self, call: Callable[[], Any]) -> Times:
        """Time one call."""
        start, end = self.event(), self.event()
        self.synchronize()
        began = time.perf_counter()
        start.record()
        call()
        end.record()
        returned = time.perf_counter()
        end.synchronize()
        done = time.perf_counter()
        return Times(returned - began, self.seconds(start, end), done - began)


class HostEvent:
    """A moment."""

    time = 0.0

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass


class CudaDevice(HostDevice):
    """The current CUDA device, by the module `cupy`."""

    def __init__(self, cupy: Any) -> None:
        self.cupy: Any = cupy
        self.torch: Any = None
        self.pool = cupy.get_default_memory_pool()
        self.out_of_memory = (cupy.cuda.memory.OutOfMemoryError,)

    def share_with(self, torch: Any) -> None:
        self.torch = torch
        self.out_of_memory = (*self.out_of_memory, torch.cuda.OutOfMemoryError)

    def event(self) -> Any:
        return self.cupy.cuda.Event()

    def seconds(self, start: Any, end: Any) -> float:
        return float(self.cupy.cuda.get_elapsed_time(start, end)) / 1000

    def synchronize(self) -> None:
        self.cupy.cuda.Device().synchronize()

    def free(self) -> None:
        self.pool.free_all_blocks()
        if self.torch is not None:
            self.torch.cuda.empty_cache()

    def peak(self, call: Callable[[], Any]) -> dict[str, int]:
        self.free()
        with peak_hook(self.cupy.cuda.MemoryHook, self.pool.used_bytes()) as hook:
            call()
        self.synchronize()
        return {"peak": int(hook.peak), "held": int(self.pool.total_bytes())}

    def fuse(self, function: Callable[..., Any]) -> Callable[..., Any]:
        fused: Callable[..., Any] = self.cupy.fuse(function)
        return fused

    def facts(self) -> dict[str, Any]:
        cupy = self.cupy
        device = cupy.cuda.Device()
        asked: dict[str, Callable[[], Any]] = {
            "cupy": lambda: cupy.__version__,
            "driver_cuda": lambda: version(cupy.cuda.runtime.driverGetVersion()),
            "runtime_cuda": lambda: version(cupy.cuda.get_local_runtime_version()),
            "nvrtc": lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
            "cublas": lambda: cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle()),
            "driver": driver,
            "memory_free": lambda: device.mem_info[0],
        }
        properties = cupy.cuda.runtime.getDeviceProperties(device.id)
        facts = {
            "name": properties["name"].decode(),
            "compute_capability": f"{properties['major']}.{properties['minor']}",
            "memory": properties["totalGlobalMem"],
            "multiprocessors": properties["multiProcessorCount"],
            "clock_khz": properties["clockRate"],
            "visible": cupy.cuda.runtime.getDeviceCount(),
        }
        return facts | {name: known(ask) for name, ask in asked.items()}


def peak_hook(base: type, used: int) -> Any:
    """Return a memory hook that follows the bytes in use, from those that are."""

    class Peak(base):  # type: ignore[misc]
        name = "rnn_xp peak"

        def __init__(self) -> None:
            self.used = self.peak = used

        def malloc_postprocess(self, *, mem_size: int, mem_ptr: int, **_: Any) -> None:
            if mem_ptr:
                self.used += mem_size
                self.peak = max(self.peak, self.used)

        def free_postprocess(self, *, mem_size: int, **_: Any) -> None:
            self.used -= mem_size

    return Peak()


def version(number: int) -> str:
    """Write 13020 as 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def known(ask: Callable[[], Any]) -> Any:
    """Return a fact, or why it is not known: none of them is worth a run."""
    try:
        return ask()
    except Exception as error:
        return f"unknown: {told(error)}"


def driver() -> str:
    """Return the version of the driver, as nvidia-smi tells it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return answer.stdout.split()[0]
