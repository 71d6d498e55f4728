"""The images' recipes agree with the rest of the checkout, and the containers' commands do what they say."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
IMAGES = {"cpu": "numpy", "gpu": "cupy"}
RECIPES = {name: (DOCKER / f"{name}.Dockerfile").read_text(encoding="utf-8") for name in IMAGES}
COMPOSE = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

each_image = pytest.mark.parametrize("image", IMAGES)


def instructions(image):
    """Return a Dockerfile's (instruction, rest), with continued lines joined and comments left out."""
    text = re.sub(r"^#.*\n", "", RECIPES[image], flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def final_stage(image):
    """Return the instructions after the last FROM."""
    every = instructions(image)
    return every[max(i for i, (name, _) in enumerate(every) if name == "FROM") + 1 :]


def pins(file):
    """Return the requirements of a file by name."""
    lines = [line for line in (DOCKER / file).read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert lines
    return {Requirement(line).name: Requirement(line) for line in lines}


def version(pin):
    """Return the one version that a pin allows."""
    (specifier,) = pin.specifier
    assert specifier.operator == "==", pin
    assert "*" not in specifier.version, pin
    return specifier.version


# --- what is installed


@pytest.mark.parametrize("file", ["requirements.txt", "gpu-requirements.txt"])
def test_every_requirement_is_pinned(file):
    assert all(version(pin) for pin in pins(file).values())


def test_pins_are_what_the_project_asks_for():
    pinned = pins("requirements.txt")
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        asked = Requirement(line)
        assert version(pinned[asked.name]) in asked.specifier, line


def test_cupy_is_that_of_the_extras_and_the_toolkit_in_the_range_that_it_tests():
    pinned = pins("gpu-requirements.txt")
    extras = PROJECT["optional-dependencies"]
    for (asked,) in (map(Requirement, extras["cuda13"]), map(Requirement, extras["test-cuda"])):
        assert version(pinned[asked.name]) in asked.specifier & SpecifierSet("==14.*")
    toolkit = pinned["cuda-toolkit"]
    assert toolkit.extras == {"cublas", "cudart", "nvrtc"}
    assert version(toolkit) in SpecifierSet(">=13.0,<13.3")
    libraries = {name for name in pinned if name.startswith("nvidia-")}
    assert libraries == {"nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc"}


# --- the recipes


@each_image
def test_stages_start_from_the_slim_image_that_can_be_replaced(image):
    stages = [rest.split()[0] for name, rest in instructions(image) if name == "FROM"]
    assert stages == ["${BASE_IMAGE}"] * 2
    (base,) = re.findall(r"^ARG BASE_IMAGE=(.*)$", RECIPES[image], flags=re.M)
    python = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-\w+", base)
    assert f"Programming Language :: Python :: {python[1]}" in PROJECT["classifiers"]


@each_image
def test_pip_works_in_an_environment_that_is_left_behind(image):
    runs = " && ".join(rest for name, rest in instructions(image) if name == "RUN")
    commands = [" ".join(command.split()) for command in runs.split("&&")]
    used = [command for command in commands if "pip" in command]
    assert used[:2] == ["python -m venv /build/pip", "python -m venv --without-pip /opt/venv"]
    (install,) = used[2:]
    assert install.startswith("/build/pip/bin/pip --python /opt/venv/bin/python install ")
    files = re.findall(r"-r /build/(\S+)", install)
    assert files == ["requirements.txt", "gpu-requirements.txt"][: len(files)]
    assert len(files) == (2 if image == "gpu" else 1)
    assert not [command for command in commands if re.match(r"apt|curl|wget|python -m (?!venv)", command)]


@each_image
def test_the_final_stage_installs_nothing_and_is_not_root(image):
    stage = final_stage(image)
    assert [rest for name, rest in stage if name in ("RUN", "ADD")] == []
    copied = [rest for name, rest in stage if name == "COPY"]
    assert copied == ["--from=build /opt/venv /opt/venv", "--from=build /app /app"]
    assert [rest for name, rest in stage if name == "USER"] == ["10001:10001"]


@each_image
def test_what_is_copied_is_in_the_checkout_and_in_the_context(image):
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    named = [line[1:] for line in allowed if line.startswith("!")]
    assert "*" in allowed
    assert {"rnn_xp", "tests", "benchmarks", "docker", "pyproject.toml", "README.md"} <= set(named)
    assert all((ROOT / name).exists() for name in named)
    copies = [rest.split() for name, rest in instructions(image) if name == "COPY"]
    sources = [source for words in copies if "--from=build" not in words for source in words[:-1]]
    assert "." in sources
    assert f"docker/{'requirements' if image == 'cpu' else 'gpu-requirements'}.txt" in sources
    for source in sources:
        assert (ROOT / source).exists()
        assert source == "." or source.split("/")[0] in named


@each_image
def test_all_that_is_written_goes_to_tmp(image):
    environment = " ".join(rest for name, rest in final_stage(image) if name == "ENV")
    settings = dict(re.findall(r"(\w+)=(\S+)", environment))
    homes = {"HOME", "HYPOTHESIS_STORAGE_DIRECTORY"} | ({"CUPY_CACHE_DIR"} if image == "gpu" else set())
    for name in homes:
        assert re.fullmatch(r"/tmp(/\w+)?", settings[name])
    assert settings["PYTHONPATH"] == "/app"
    if image == "gpu":
        assert settings["NVIDIA_VISIBLE_DEVICES"] == "all"
        assert settings["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


@each_image
def test_the_entry_is_there(image):
    stage = dict(final_stage(image))
    assert stage["ENTRYPOINT"] == f'["/opt/venv/bin/python", "/app/docker/entry.py", "{IMAGES[image]}"]'
    assert stage["CMD"] == {"cpu": '["train"]', "gpu": '["bench"]'}[image]
    assert stage["WORKDIR"] == "/app"


# --- compose.yaml


def services():
    """Return the text of each service."""
    _, _, text = COMPOSE.partition("\nservices:\n")
    names = re.findall(r"^  (\S+):$", text, flags=re.M)
    return dict(zip(names, re.split(r"^  \S+:$", text, flags=re.M)[1:], strict=True))


def test_services_are_those_promised():
    found = services()
    assert list(found) == ["train", "test", "bench-cpu", "bench-gpu"]
    for name, text in found.items():
        assert f"<<: *{'safe' if name == 'bench-gpu' else 'cpu'}\n" in text
        assert re.search(rf"^    command: \[{name.partition('-')[0]}[],]", text, flags=re.M)
        assert ("capabilities: [gpu]" in text) == (name == "bench-gpu")
        assert ("volumes: *results" in text) == (name != "test")
    assert "<<: *safe\n  image: rnn-xp-cpu\n" in COMPOSE
    for setting in ("read_only: true", "tmpfs: [/tmp]", "user: ${RNN_XP_USER:-10001:10001}"):
        assert f"  {setting}\n" in COMPOSE.partition("x-cpu")[0]
    assert "target: /results," in COMPOSE


@each_image
def test_compose_names_the_recipes(image):
    assert f"image: rnn-xp-{image}\n    build: {{context: .., dockerfile: docker/{image}.Dockerfile" in (
        COMPOSE.replace("\n  build", "\n    build")
    )


# --- what the containers do

NO_GPU = """
class cuda:
    class runtime:
        def getDeviceCount():
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
"""
"""A CuPy that finds no GPU."""

STARTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
import entry
entry.RESULTS = Path(sys.argv.pop(1))
sys.exit(entry.main(*sys.argv[1:]))
"""
"""The entry with another folder of results."""


def container(*words, root=ROOT, results="/nowhere", cwd=None, **environment):
    """Start the entry of a checkout as a container does."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTED, root / "docker", results, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd or root,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
        env={**os.environ, "PYTHONPATH": str(root), "RNN_XP_COMMIT": "", **environment},
    )


def run(*words, **settings):
    """Return exit code, output and error output."""
    process = container(*words, **settings)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("words", [("numpy",), ("numpy", "--help"), ("cupy", "Train")])
def test_an_unknown_command(words):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    usage, *options = err.splitlines()
    assert usage == "usage: docker run [...] IMAGE train|test|bench [OPTION ...]"
    assert "bench: --repetitions N in rnn-xp-cpu" in options[0]


@pytest.mark.parametrize("command", ["train", "test", "bench"])
def test_without_a_gpu_one_message_says_what_is_missing(tmp_path, command):
    (tmp_path / "cupy.py").write_text(NO_GPU)
    code, out, err = run("cupy", command, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert (code, out) == (1, "")
    start = r'backend "cupy": (no NVIDIA driver was found|no GPU is visible) '
    assert re.fullmatch(rf"{start}.* To run on the CPU: the image rnn-xp-cpu\.\n", err)


@pytest.fixture
def checkout(tmp_path):
    """Make a checkout where every backend is there, and the benchmarks tell how they were called."""
    root = tmp_path / "checkout"
    for folder in ("docker", "benchmarks", "tests"):
        (root / folder).mkdir(parents=True)
    shutil.copy(DOCKER / "entry.py", root / "docker")
    (root / "rnn_xp.py").write_text("BackendError = OSError\ndef get_backend(name): pass\n")
    for name in ("tutorial", "import_cost", "gpu_check"):
        (root / f"benchmarks/{name}.py").write_text(TOLD + "Path(sys.argv[2]).write_text('new')\n")
    (root / "benchmarks/report.py").write_text(TOLD + DRAWN)
    (root / "pytest.ini").write_text("[pytest]\nmarkers = gpu\naddopts = -rA\n")
    (root / "tests/test_it.py").write_text(TESTED)
    return root


TOLD = """
import sys
from pathlib import Path
print(*sys.argv[1:], flush=True)
"""
DRAWN = """
for name in ("table.md", "gpu.png"):
    Path(sys.argv[4], name).write_text(Path(sys.argv[2]).read_text())
"""
INTERRUPTED = """
import sys, time
from pathlib import Path
try:
    print("begun", flush=True)
    time.sleep(50)
except KeyboardInterrupt:
    time.sleep(0.3)  # and no second time
    Path(sys.argv[2]).write_text("unfinished")
    sys.exit(130)
"""
SLOW = """
import time
print("begun", flush=True)
time.sleep(50)
"""
TESTED = """
import os, pytest
@pytest.mark.gpu
def test_on_a_gpu(): pass
def test_backend(): assert os.environ["RNN_XP_TEST_BACKENDS"] == "numpy"
"""


@pytest.fixture
def results(tmp_path):
    """Make a folder of results, with those of an earlier run."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name in ("record.json", "other"):
        (folder / name).write_text("old")
    return folder


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("backend", "name", "why"),
    [("cupy", "missing", "No such file or directory"), ("numpy", "other", "Not a directory")],
)
def test_results_that_cannot_be_written_are_refused_at_once(checkout, results, backend, name, why):
    folder = results / name
    assert run(backend, "bench", root=checkout, results=folder) == (
        1,
        "",
        f"bench: {folder} must be a folder that user {os.getuid()} can write to; got: {why}. "
        f'Mount one of yours: docker run --user "$(id -u):$(id -g)" -v "$PWD/runs:{folder}" [...]\n',
    )


@pytest.mark.parametrize("code", [0, 1])
def test_the_gpu_bench_leaves_record_table_and_plot(checkout, results, code):
    """Be the findings good or bad."""
    with (checkout / "benchmarks/gpu_check.py").open("a") as check:
        check.write(f"sys.exit({code})\n")
    assert run("cupy", "bench", root=checkout, results=results)[0] == code
    assert contents(results) == {
        **dict.fromkeys(("record.json", "table.md", "gpu.png"), "new"),
        "other": "old",
    }


def test_a_gpu_check_that_leaves_no_record(checkout, results):
    (checkout / "benchmarks/gpu_check.py").write_text("import sys\nsys.exit(2)\n")
    assert run("cupy", "bench", root=checkout, results=results) == (2, f"new in {results}: nothing\n", "")
    assert contents(results) == {"record.json": "old", "other": "old"}


def test_a_report_that_fails(checkout, results):
    (checkout / "benchmarks/report.py").write_text("import sys\nsys.exit(3)\n")
    assert run("cupy", "bench", root=checkout, results=results)[0] == 3
    assert contents(results) == {"record.json": "new", "other": "old"}


def test_the_gpu_check_gets_options_and_commit(checkout, results):
    words = ("cupy", "bench", "--budget", "60")
    code, out, _ = run(*words, root=checkout, results=results, RNN_XP_COMMIT="abc")
    check, report, made = out.splitlines()
    folder = re.escape(str(results)) + r"/\.bench-\w+"
    assert re.fullmatch(rf"--out {folder}/record\.json --commit abc --budget 60", check)
    assert re.fullmatch(rf"--gpu {folder}/record\.json --out {folder}", report)
    assert made == f"new in {results}: gpu.png, record.json, table.md"
    assert code == 0


def test_ctrl_c_is_the_gpu_check_s_to_answer(checkout, results):
    (checkout / "benchmarks/gpu_check.py").write_text(INTERRUPTED)
    process = container("cupy", "bench", root=checkout, results=results)
    assert process.stdout.readline() == "begun\n"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert contents(results)["record.json"] == contents(results)["table.md"] == "unfinished"


def test_the_cpu_bench_leaves_its_records(checkout, results):
    code, out, _ = run("numpy", "bench", "--repetitions", "3", root=checkout, results=results)
    assert code == 0
    assert [line.split()[2:] for line in out.splitlines()[:2]] == [["--repetitions", "3"]] * 2
    assert {"tutorial.json", "import_cost.json"} < set(contents(results))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--epochs", "3"], "unrecognized arguments: --epochs 3"),  # of one of the two benchmarks
        (["--repetitions", "0"], "--repetitions must be at least 1; got 0"),
        (["--repetitions", "few"], "invalid int value: 'few'"),
    ],
)
def test_options_of_the_cpu_bench_are_checked_before_it_measures(checkout, results, options, why):
    code, out, err = run("numpy", "bench", *options, root=checkout, results=results)
    assert (code, out) == (2, "")
    assert err.endswith(f": {why}\n")
    assert contents(results) == {"record.json": "old", "other": "old"}


@pytest.mark.parametrize("only_the_entry", [True, False])
def test_ctrl_c_ends_the_cpu_bench_and_leaves_what_is_whole(checkout, results, only_the_entry):
    """The signal comes to the first process, as from `docker stop`, or to its group, as from a terminal."""
    (checkout / "benchmarks/import_cost.py").write_text(SLOW)
    process = container("numpy", "bench", root=checkout, results=results)
    assert "--out" in process.stdout.readline()  # of the first benchmark
    assert process.stdout.readline() == "begun\n"
    (os.kill if only_the_entry else os.killpg)(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert out == f"new in {results}: tutorial.json\n"
    assert set(contents(results)) == {"record.json", "other", "tutorial.json"}


@pytest.mark.parametrize("only_the_entry", [True, False])
def test_ctrl_c_while_the_backend_is_opened(checkout, only_the_entry):
    (checkout / "rnn_xp.py").write_text(SLOW)
    process = container("numpy", "train", root=checkout)
    assert process.stdout.readline() == "begun\n"
    (os.kill if only_the_entry else os.killpg)(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_ctrl_c_while_the_report_is_made_leaves_the_record(checkout, results):
    (checkout / "benchmarks/report.py").write_text(SLOW)
    process = container("cupy", "bench", root=checkout, results=results)
    assert "--out" in process.stdout.readline()  # of the check
    assert process.stdout.readline() == "begun\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == (f"new in {results}: record.json\n", "")
    assert process.returncode == 130
    assert contents(results) == {"record.json": "new", "other": "old"}


@pytest.mark.parametrize(("end", "code"), [("sys.exit(4)", 4), ("os.kill(os.getpid(), 9)", 137)])
def test_a_cpu_benchmark_that_fails(checkout, results, end, code):
    (checkout / "benchmarks/tutorial.py").write_text(f"import os, sys\n{end}\n")
    assert run("numpy", "bench", root=checkout, results=results)[0] == code
    assert contents(results) == {"record.json": "old", "other": "old"}


def test_train_is_that_of_the_command_line(tmp_path):
    words = ("--epochs", "1", "--hidden-size", "3", "--out", "here")
    code, out, err = run("numpy", "train", *words, cwd=tmp_path, RNN_XP_BACKEND="cupy")
    assert (code, err) == (0, "")
    assert "; numpy on cpu, float64" in out
    assert (tmp_path / "here/model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (("numpy", "test", "-n", "0"), {"test_on_a_gpu", "test_backend"}),
        (("cupy", "test"), {"test_on_a_gpu"}),
    ],
)
def test_the_tests_are_run_and_leave_nothing(checkout, words, ran):
    before = sorted(checkout.rglob("*"))
    code, out, err = run(*words, root=checkout, PYTHONDONTWRITEBYTECODE="1")
    assert (code, err) == (0, "")
    assert set(re.findall(r"^PASSED .*::(\w+)", out, flags=re.M)) == ran
    assert sorted(checkout.rglob("*")) == before
