"""Models in files: one safetensors file holds the parameters and, as JSON, what builds the model again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from rnn_xp import safetensors, tree
from rnn_xp.backend import Backend, get_backend, to_numpy
from rnn_xp.cells import Cell
from rnn_xp.model import from_config
from rnn_xp.safetensors import CheckpointError as CheckpointError
from rnn_xp.typing import Tree

PathLike: TypeAlias = "str | os.PathLike[str]"

FORMAT = "rnn_xp"
FORMAT_VERSION = "1"


def save(path: PathLike, model: Any, params: Tree, extra: Mapping[str, Any] | None = None) -> None:
    """Write a model and its parameters to one file, whole or not at all.

    Equal content gives equal bytes: the file holds nothing of the time, the place or the machine.

    Parameters
    ----------
    path : str or path
        By custom ``*.safetensors``; a file that is there is replaced.
    model : layer or Sequential
        What `params` are the parameters of.
    params : tree of arrays
        On any backend; stored in their own dtype.
    extra : mapping, optional
        What else belongs to the model (class names, scaling, ...), in JSON values; `read_extra` returns it.

    Raises
    ------
    ValueError
        If `params` are not those of `model`.
    TypeError
        If `extra` is nothing that JSON can hold.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> import tempfile
    >>> model = rx.LSTM(3, 4)
    >>> params = model.init(rx.get_backend("numpy"), seed=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     rx.save(directory + "/model.safetensors", model, params)
    ...     again, _ = rx.load(directory + "/model.safetensors", "numpy")
    >>> again == model
    True
    """
    from rnn_xp import __version__  # at the top it would be a circle

    tensors = {name: to_numpy(leaf) for name, leaf in tree.named_leaves(params)}
    difference = _difference(model, tensors)
    if difference:
        msg = f"`params` must be the parameters of `model`; {difference}."
        raise ValueError(msg)
    try:
        words = json.dumps(dict(extra or {}), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"`extra` must be a mapping that JSON can hold; {error}."
        raise TypeError(msg) from None
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": json.dumps(model.config(), sort_keys=True),
        "gate_order": json.dumps(_gate_order(model), sort_keys=True),
        "versions": json.dumps({"numpy": np.__version__, "rnn_xp": __version__}),
        "extra": words,
    }
    atomic_write(path, safetensors.write(tensors, metadata))


def load(path: PathLike, backend: Backend | str, cells: Mapping[str, Cell] | None = None) -> tuple[Any, Tree]:
    """Return the model and the parameters that `save` wrote.

    Parameters
    ----------
    path : str or path
    backend : Backend or str
        Where the parameters shall live. A Backend has a dtype, and they are converted to it; where only a
        name is given, they keep their own.
    cells : mapping of str to Cell, optional
        Cells of one's own by their names: a file names cells and never holds their code.

    Returns
    -------
    model, params

    Raises
    ------
    CheckpointError
        If the file is damaged, of another kind or version, or its parameters do not fit its model.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    See `save`.
    """
    if isinstance(backend, Backend):
        backend = get_backend(backend)
    with _reading(path) as (tensors, metadata):
        config = _json_object("model", metadata)
        _check_depth(config, len(tensors))
        try:
            model = from_config(config, cells=cells)
            spec = model.spec()
        except Exception as error:  # whatever the layers have against it, the file is what is wrong
            msg = f"its model cannot be built: {error}"
            raise CheckpointError(msg) from error
        stored, expected = _json_object("gate_order", metadata), _gate_order(model)
        if stored != expected:
            msg = f"its gates are in the order {stored}; those of its model are in the order {expected}"
            raise CheckpointError(msg)
        difference = _difference(model, tensors)
        if difference:
            msg = f"its parameters are not those of its model; {difference}"
            raise CheckpointError(msg)
        if not isinstance(backend, Backend):
            wide = any(tensor.dtype == np.float64 for tensor in tensors.values())
            backend = get_backend(backend, dtype="float64" if wide else "float32")
        names = [name for name, _ in tree.named_leaves(spec)]
        return model, tree.unflatten(spec, [backend.asarray(tensors[name]) for name in names])


def read_extra(path: PathLike) -> dict[str, Any]:
    """Return what was given to `save` as `extra`; an empty dict where nothing was.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    dict

    Raises
    ------
    CheckpointError
        If the file is damaged, or of another kind or version.
    FileNotFoundError
        If there is no such file.
    """
    with _reading(path) as (_, metadata):
        return _json_object("extra", metadata)


def atomic_write(path: PathLike, data: bytes) -> None:
    """Write a file so that at any moment, power loss included, `path` holds the whole old or new content.

    Parameters
    ----------
    path : str or path
        In a directory that exists. A file that is there passes its mode on.
    data : bytes

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is still there, and nothing else.
    """
    path = Path(path)
    temporary = path.parent / f".{os.urandom(8).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # its kind follows from errno
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make a rename last, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _reading(path: PathLike) -> Iterator[tuple[dict[str, safetensors.Tensor], dict[str, str]]]:
    """Read a file of ours; what is wrong with it, here or later, is said with its path."""
    file = Path(path).read_bytes()
    try:
        tensors, metadata = safetensors.read(file)
        if metadata.get("format") != FORMAT:
            msg = f"its format must be {FORMAT!r}; it is {metadata.get('format')!r:.40}, another program's"
            raise CheckpointError(msg)
        version = metadata.get("format_version")
        if version != FORMAT_VERSION:
            msg = f"its format version is {version!r:.40}; this rnn_xp reads {FORMAT_VERSION!r}: update it"
            raise CheckpointError(msg)
        yield tensors, metadata
    except CheckpointError as error:
        msg = f"`{os.fspath(path)}` cannot be loaded: {error}."
        raise CheckpointError(msg) from error.__cause__


def _json_object(key: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Parse a JSON object of the metadata."""
    try:
        value = json.loads(metadata[key])
    except (KeyError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        msg = f"its metadata must hold a JSON object {key!r}"
        raise CheckpointError(msg)
    return value


def _check_depth(config: Any, tensors: int) -> None:
    """Refuse a few bytes that describe a model of any number of layers, before it is built."""
    parts = [config]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            depth = part.get("num_layers")
            if isinstance(depth, int) and depth > tensors:
                msg = f"its model has {depth} layers; the file has {tensors} parameters"
                raise CheckpointError(msg)
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)


def _difference(model: Any, tensors: Mapping[str, safetensors.Tensor]) -> str:
    """Say in what `tensors` are not the parameters of `model`; nothing where they are."""
    specs = dict(tree.named_leaves(model.spec()))
    both = [(name, tensors[name], spec.shape) for name, spec in specs.items() if name in tensors]
    found = {
        "missing": [name for name in specs if name not in tensors],
        "unexpected": [name for name in tensors if name not in specs],
        "of another shape": [f"{n} {t.shape} for {s}" for n, t, s in both if t.shape != s],
        "not of a floating dtype": [f"{n} {t.dtype}" for n, t, _ in both if t.dtype.kind != "f"],
    }
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in found.items() if names)


def _gate_order(model: Any) -> dict[str, list[str]]:
    """Return the order of the gates in the rows of the weights, for every layer and direction."""
    specs = tree.named_leaves(model.spec())
    return {name.rpartition(".")[0]: list(spec.gates) for name, spec in specs if spec.gates}
