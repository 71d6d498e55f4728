"""Ranks on several hosts, made of network namespaces: what goes between them is TCP over a bridge.

They share the machine's files and clock; a network, addresses and a host name each has of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import job
import numpy as np
import pytest
from distributed_cases import CASES, flat, standing, table

HOSTS = 3
ACROSS = 1e-12
ENDS_WITHIN = 60.0


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr)
    return done.stdout


class Network:
    """Hosts 1, 2, ... with the addresses 10.77.0.1, 10.77.0.2, ..., and a switch between them."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._made: list[str] = []

    def make(self) -> None:
        switch = self._namespace("s")
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for number in range(1, HOSTS + 1):
            host = self._namespace(str(number))
            port = ("port" + str(number), "netns", switch)
            ip("link", "add", *port, "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("-n", switch, "link", "set", port[0], "master", "bridge", "up")
            ip("-n", host, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")
            retries = "echo 5 > /proc/sys/net/ipv4/tcp_retries2"  # else TCP asks a lost host for 15 minutes
            ip("netns", "exec", host, "sh", "-c", retries)

    def kill(self) -> None:
        """End what still runs on the hosts."""
        for name in self._made:
            for pid in ip("netns", "pids", name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def remove(self) -> None:
        self.kill()
        for name in self._made:
            ip("netns", "delete", name)

    def cut(self, number: int, how: str = "down") -> None:
        """Pull the plug of a host, or put it in again."""
        ip("-n", f"{self.prefix}s", "link", "set", f"port{number}", how)

    def sent(self) -> list[int]:
        """Return the bytes that each host has sent to the switch."""
        told = (
            ip("-n", f"{self.prefix}{n}", "-s", "-j", "link", "show", "eth0") for n in range(1, HOSTS + 1)
        )
        return [json.loads(own)[0]["stats64"]["tx"]["bytes"] for own in told]

    def launch(self) -> dict[str, Any]:
        """Return how mpiexec, on the first host, starts a rank on each."""
        own = f"{self.prefix}1"
        inside = [
            "ip",
            "netns",
            "exec",
            own,
            "unshare",
            "--uts",
            "sh",
            "-c",
            f'hostname {own}; exec "$@"',
            "sh",
        ]
        agent = str(job.HERE / "agent")
        hosts = [f"10.77.0.{number}" for number in range(1, HOSTS + 1)]
        if job.is_openmpi():
            flags = ["--host", ",".join(hosts), "--prtemca", "plm_ssh_agent", agent, "--map-by", "node"]
            flags += ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self"]
        else:
            flags = ["-launcher", "ssh", "-launcher-exec", agent, "-hosts", ",".join(hosts), "-iface", "eth0"]
        return {"flags": flags, "inside": inside}

    def _namespace(self, name: str) -> str:
        ip("netns", "add", self.prefix + name)
        self._made.append(self.prefix + name)
        return self.prefix + name


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Hosts and a switch; skipped where this user, or this machine, cannot make them."""
    if not sys.platform.startswith("linux") or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("needs Linux, with ip and unshare")
    own = Network(f"rx{os.getpid()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNN_XP_HOSTS", own.prefix)
        patch.setenv("UCX_TLS", "tcp,self")  # MPICH's would find that the hosts share memory
        try:
            try:
                own.make()
            except OSError as error:
                pytest.skip(f"cannot make network namespaces: {error}")
            yield own
        finally:
            own.remove()


pytestmark = [pytest.mark.network, pytest.mark.slow]

ASKED = [(name, how, {}) for name in ("last", "windows", "memmap") for how in ("whole", "sharded")]
STEPS = 200


def test_weights_and_losses_are_those_of_one_process(network: Network, tmp_path: Path) -> None:
    before = network.sent()
    with job.started(HOSTS, "cases", tmp_path, **network.launch(), cases=ASKED) as running:
        done = running.end()
    assert done.status == 0, done.told
    crossed = np.subtract(network.sent(), before)
    payload = 0
    for name, how, _ in ASKED:
        expected = CASES[name](tmp_path).fit()
        payload += STEPS * flat(expected).nbytes
        for rank in range(HOSTS):
            own = np.load(tmp_path / f"{name}.{how}.{rank}.npz")
            np.testing.assert_allclose(own["flat"], flat(expected), rtol=0, atol=ACROSS)
            np.testing.assert_allclose(own["table"], table(expected), rtol=ACROSS, atol=ACROSS)
    sys.stdout.write(
        f"\n{STEPS * len(ASKED)} steps, {payload:,} bytes of gradients; sent by host: {crossed}\n"
    )
    assert (crossed > payload / 2).all()  # what no rank sends, no other can add


def test_what_a_message_costs(network: Network, tmp_path: Path) -> None:
    before = network.sent()
    with job.started(HOSTS, "messages", tmp_path, **network.launch()) as running:
        done = running.end()
    assert done.status == 0, done.told
    told = json.loads((tmp_path / "messages.json").read_text())
    assert network.sent()[0] - before[0] > 20 * 2**23  # the longest of them, once a time
    words = [f"{name}: {told[name] * 1e6:.0f} us" for name in told if name != "bandwidth"]
    sys.stdout.write(f"\n{', '.join(words)}, bandwidth: {told['bandwidth'] / 1e9:.2f} GB/s\n")


@pytest.mark.parametrize("number", [2, 3])
def test_a_plug_is_pulled(number: int, network: Network, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    said = {"case": "last", "pause": 0.02, "more": {"epochs": 8}, "timeout": 3}
    try:
        with job.started(HOSTS, "train", tmp_path, **network.launch(), **said) as running:
            running.until(lambda: path.exists() and standing(path).get("epoch", 0) >= 2)
            network.cut(number)
            begin = time.monotonic()
            done = running.end(ENDS_WITHIN)
    finally:
        network.kill()  # on a host that nobody reaches, what runs still does
        network.cut(number, "up")
    seconds = time.monotonic() - begin
    sys.stdout.write(
        f"\nhost {number} cut off; ended after {seconds:.1f} s with {done.status}: {done.told}\n"
    )
    assert done.status != 0
    assert re.search(r"rnn_xp: rank \d of 3: waited 3 s for the other ranks in a ", done.told)
    more = {"epochs": 8, "resume": True}
    with job.started(HOSTS, "train", tmp_path, **network.launch(), case="last", more=more) as running:
        assert running.end().status == 0, running.told
    expected = flat(CASES["last"](tmp_path).fit(epochs=8))
    for rank in range(HOSTS):
        np.testing.assert_allclose(np.load(tmp_path / f"weights.{rank}.npy"), expected, rtol=0, atol=ACROSS)
