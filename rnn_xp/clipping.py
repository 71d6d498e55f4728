"""Gradient clipping: pure functions over trees of arrays, with PyTorch's semantics.

Nothing here asks the device for a value, and no argument is modified.
"""

from __future__ import annotations

from rnn_xp import checks, tree
from rnn_xp.typing import Array, Namespace, Tree


def global_norm(grads: Tree, *, xp: Namespace) -> Array:
    """Return the Euclidean norm of all leaves together, as an array of no axes.

    Parameters
    ----------
    grads
        A tree of arrays of one dtype.
    xp
        Their namespace.

    Returns
    -------
    Array
        The norm, on the device of the gradients.

    Examples
    --------
    >>> import numpy as np
    >>> float(global_norm((np.array([3.0]), {"b": np.array([[4.0]])}), xp=np))
    5.0
    """
    norm: Array = xp.sqrt(sum(g @ g if g.ndim == 1 else xp.sum(g * g) for g in tree.leaves(grads)))
    return norm


def clip_by_global_norm(grads: Tree, max_norm: float, *, xp: Namespace) -> tuple[Tree, Array]:
    """Scale all gradients together so that their norm is at most `max_norm` (Pascanu et al., ICML 2013).

    Parameters
    ----------
    grads
        A tree of arrays of one dtype.
    max_norm
        The bound, above 0.
    xp
        Their namespace.

    Returns
    -------
    tuple
        The gradients times min(1, max_norm / (norm + 1e-6)), as in PyTorch, and the norm that they had.

    Raises
    ------
    ValueError
        Where `max_norm` is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> clipped, norm = clip_by_global_norm(np.array([3.0, 4.0]), 1.0, xp=np)
    >>> clipped.round(4), float(norm)
    (array([0.6, 0.8]), 5.0)
    """
    norm = global_norm(grads, xp=xp)
    scale = xp.minimum(checks.number("max_norm", max_norm, open_low=True) / (norm + 1e-6), 1.0)
    return tree.map(lambda g: g * scale, grads), norm


def clip_by_value(grads: Tree, limit: float, *, xp: Namespace) -> Tree:
    """Bring every component of the gradients into [-limit, limit].

    Parameters
    ----------
    grads
        A tree of arrays.
    limit
        The bound, above 0.
    xp
        Their namespace.

    Returns
    -------
    Tree
        The bounded gradients; a NaN stays one.

    Raises
    ------
    ValueError
        Where `limit` is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> clip_by_value(np.array([-3.0, 0.5, 4.0]), 1.0, xp=np)
    array([-1. ,  0.5,  1. ])
    """
    bound = checks.number("limit", limit, open_low=True)
    return tree.map(lambda g: xp.maximum(xp.minimum(g, bound), -bound), grads)
