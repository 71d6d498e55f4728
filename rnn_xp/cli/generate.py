"""`rnn-xp generate`: a language model writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rnn_xp.cli import language
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.runs import open_run


def generate(given: Mapping[str, Any]) -> int:
    """Write the prompt and what follows it, character by character."""
    model, params, about = open_run(given)
    if about.vocabulary is None:
        msg = f"argument DIR: {given['run']} holds no language model; `rnn-xp train --task text` makes one."
        raise UsageError(msg)
    prompt = given["prompt"]
    unknown = sorted(set(prompt or "") - set(about.vocabulary.characters))
    if unknown:
        count, known = len(about.vocabulary.characters), "characters that the model knows"
        msg = f"argument --prompt: {', '.join(map(repr, unknown))} not among the {count} {known}."
        raise UsageError(msg)
    characters = language.sample(
        model,
        params,
        about.vocabulary,
        language.start(about.vocabulary) if prompt is None else prompt,
        length=None if prompt is None else given["length"],
        temperature=given["temperature"],
        seed=given["seed"],
    )
    sys.stdout.write(prompt or "")
    if prompt is None:
        characters = language.opening(characters, given["length"])
    for character in characters:
        sys.stdout.write(character)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
