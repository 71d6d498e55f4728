"""Text as tokens, one a character, and the trigram that a character model has to beat."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks
from rnn_xp.data import arguments
from rnn_xp.data.sequences import plain

Tokens: TypeAlias = NDArray[np.int64]
TextOrTokens = TypeVar("TextOrTokens", str, Tokens)


class Vocabulary(NamedTuple):
    """The characters that a model knows; a token is a place in this tuple."""

    characters: tuple[str, ...]

    def encode(self, text: str, unknown: str | None = None) -> Tokens:
        """Return the tokens of `text`.

        Parameters
        ----------
        text : str
        unknown : str, optional
            The known character that stands for every unknown one.

        Raises
        ------
        TypeError
            If `text` or `unknown` is no string.
        ValueError
            If `text` holds an unknown character and `unknown` is not given, or is unknown itself; or if the
            vocabulary holds anything but single characters.

        Examples
        --------
        >>> Vocabulary(("a", "b", "?")).encode("abba!", unknown="?").tolist()
        [0, 1, 1, 0, 2]
        """
        codes = _code_points(arguments.text("text", text))
        if unknown is not None:
            arguments.text("unknown", unknown)
        if not self.characters or not all(
            isinstance(each, str) and len(each) == 1 for each in self.characters
        ):
            msg = f"`characters` must be at least one string, each of one character; got {self.characters}."
            raise ValueError(msg)
        own = _code_points("".join(self.characters))
        order = np.argsort(own)
        tokens: Tokens = order[np.searchsorted(own, codes, sorter=order).clip(max=len(own) - 1)]
        strange = np.flatnonzero(own[tokens] != codes)
        if len(strange) and unknown not in self.characters:
            place = int(strange[0])
            msg = (
                f"`text` must hold only the {len(self.characters)} characters of the vocabulary; "
                f"got {text[place]!r} at position {place}. `unknown` names one to put in its place."
            )
            raise ValueError(msg)
        if len(strange) and unknown is not None:
            tokens[strange] = self.characters.index(unknown)
        return tokens.astype(np.int64, copy=False)

    def decode(self, tokens: ArrayLike) -> str:
        """Return the text of `tokens` (T,).

        Raises
        ------
        TypeError
            If `tokens` are no integers.
        ValueError
            If they have another shape, or one lies outside 0..V - 1.

        Examples
        --------
        >>> Vocabulary(("a", "b")).decode([0, 1, 1, 0])
        'abba'
        """
        known = _tokens("tokens", tokens, len(self.characters))
        return "".join(self.characters[token] for token in known.tolist())


def vocabulary(text: str) -> Vocabulary:
    """Return the characters of `text`, in the order of their code points.

    Raises
    ------
    TypeError
        If `text` is no string.
    ValueError
        If `text` is empty.

    Examples
    --------
    >>> vocabulary("abba")
    Vocabulary(characters=('a', 'b'))
    """
    if not arguments.text("text", text):
        msg = "`text` must hold at least one character; got none."
        raise ValueError(msg)
    return Vocabulary(tuple(sorted(set(text))))


def python_text() -> str:
    """Return the text that Python's help system ships: half a megabyte of the language reference.

    It differs between versions of Python; that of 3.11 has 465,126 characters.
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def split(text: TextOrTokens, held_out: float = 0.1) -> tuple[TextOrTokens, TextOrTokens]:
    """Cut off the end of `text`, by default the last tenth, to test on.

    Raises
    ------
    TypeError
        If `text` is neither a string nor an array of tokens (T,), or `held_out` no number.
    ValueError
        If `held_out` is not between 0 and 1, or leaves one part empty.

    Examples
    --------
    >>> split("0123456789")
    ('012345678', '9')
    """
    if not isinstance(text, str) and getattr(text, "ndim", None) != 1:
        msg = f"`text` must be a string, or an array of tokens (T,); got {type(text).__name__}."
        raise TypeError(msg)
    share = checks.number("held_out", held_out, 0.0, 1.0, open_low=True)
    cut = len(text) - int(len(text) * share)
    if not 0 < cut < len(text):
        msg = f"`text` must be long enough to hold back {share:g} of it; got {len(text)} character(s)."
        raise ValueError(msg)
    return text[:cut], text[cut:]


def windows(tokens: ArrayLike, length: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut `tokens` (T,) into windows, in order, to predict each next token.

    Parameters
    ----------
    tokens : integer array of shape (T,)
    length : int
        Steps of a window.

    Returns
    -------
    X, y : arrays of shape (N, length), of the dtype of `tokens`
        y is X one token later. What is left after the last whole window is dropped.

    Raises
    ------
    TypeError
        If `tokens` does not hold integers, or `length` is none.
    ValueError
        If `tokens` has another shape, or no whole window and the token after it.

    Examples
    --------
    >>> X, y = windows(np.arange(8), length=3)
    >>> X.tolist(), y.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    array, length = _integers("tokens", tokens), checks.integer("length", length)
    count = (len(array) - 1) // length
    if count < 1:
        msg = f"`tokens` must hold at least length + 1 = {length + 1} tokens; got {len(array)}."
        raise ValueError(msg)
    end = count * length
    return array[:end].reshape(count, length), array[1 : end + 1].reshape(count, length)


def trigram_bits(train: ArrayLike, held_out: ArrayLike, size: int) -> float:
    """Return the bits per character of an interpolated trigram on `held_out`: a bar for character models.

    The probability of a character is a weighted sum of how often it followed the last two characters, the
    last one, and any, and of 1 / size (Jelinek and Mercer, 1980). The last tenth of `train` is not counted:
    the weights are fitted on it, by expectation-maximisation.

    Parameters
    ----------
    train, held_out : integer arrays of shape (T,)
        Tokens in 0..size - 1; the first two of `held_out` are context only.
    size : int
        Number of characters V.

    Raises
    ------
    TypeError
        If tokens are no integers.
    ValueError
        If one is out of range, or there are fewer than 30 to train on or 3 to test on, or V is above 2**20.

    Examples
    --------
    >>> bits = trigram_bits(np.arange(1000) % 2, np.arange(100) % 2, size=2)
    >>> bits < 0.01
    True
    """
    size = checks.integer("size", size, 1, 2**20)  # a run of three is one integer of 63 bits
    known, new = _tokens("train", train, size), _tokens("held_out", held_out, size)
    for name, tokens, least in (("train", known, 30), ("held_out", new, 3)):
        if len(tokens) < least:
            msg = f"`{name}` must hold at least {least} tokens; got {len(tokens)}."
            raise ValueError(msg)
    counted, tail = split(known)
    candidates = _estimates(counted, tail, size)
    weights = np.full(4, 0.25)
    for _ in range(100):
        joint = weights[:, np.newaxis] * candidates
        weights = np.mean(joint / joint.sum(axis=0), axis=1)
    return float(-np.mean(np.log2(weights @ _estimates(counted, new, size))))


def _estimates(counted: Tokens, scored: Tokens, size: int) -> NDArray[np.float64]:
    """Return (4, T - 2): what orders 0 (uniform) to 3 give to each token of `scored` from the third on."""
    rows = [np.full(len(scored) - 2, 1.0 / size)]
    for order in (1, 2, 3):
        whole = _frequencies(counted, scored[3 - order :], order, size)
        # Nothing follows the last token: it is in no context.
        context = _frequencies(counted[:-1], scored[3 - order : -1], order - 1, size)
        # A context that never came says nothing: the next lower order speaks for it.
        rows.append(np.where(context > 0, whole / np.maximum(context, 1), rows[-1]))
    return np.stack(rows)


def _ngrams(tokens: Tokens, order: int, size: int) -> Tokens:
    """Return one integer for each run of `order` tokens."""
    grams = np.zeros(len(tokens) - order + 1, dtype=np.int64)
    for start in range(order):
        grams = grams * size + tokens[start : start + len(grams)]
    return grams


def _frequencies(counted: Tokens, scored: Tokens, order: int, size: int) -> NDArray[np.int64]:
    """Return how often each run of `order` tokens in `scored` is in `counted`."""
    known, wanted = np.sort(_ngrams(counted, order, size)), _ngrams(scored, order, size)
    return np.searchsorted(known, wanted, side="right") - np.searchsorted(known, wanted, side="left")


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of `text`, lone surrogates too."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32)


def _integers(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as integers (T,); none at all may be of any dtype."""
    tokens = plain(name, value)
    if tokens.dtype.kind not in "iu" and tokens.size:
        msg = f"`{name}` must be integers of shape (T,); got {tokens.dtype} of shape {tokens.shape}."
        raise TypeError(msg)
    if tokens.ndim != 1:
        msg = f"`{name}` must have shape (T,); got {tokens.shape}."
        raise ValueError(msg)
    return tokens


def _tokens(name: str, value: ArrayLike, size: int) -> Tokens:
    """Return `value` as tokens in 0..size - 1."""
    tokens = _integers(name, value)
    bad = tokens[(tokens < 0) | (tokens >= size)]
    if len(bad):
        msg = f"`{name}` must hold tokens in 0..V - 1 with V = {size}; got {bad[0]}."
        raise ValueError(msg)
    return tokens.astype(np.int64)
