"""Libraries that the core does without: there, not there, and there but broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnn_xp import checks


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("raise ImportError('libfoo.so: cannot open.')", r"libfoo\.so: cannot open"),
        ("import what_it_needs", "No module named 'what_it_needs'"),
        ("from os import what_it_needs", "cannot import name 'what_it_needs' from 'os' .*"),
    ],
)
def test_a_library_that_is_there_and_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, why: str
) -> None:
    (tmp_path / "broken_optional.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    told = rf"^this needs broken_optional, which is installed and cannot be imported: {why}\.$"
    with pytest.raises(ModuleNotFoundError, match=told) as caught:
        checks.optional("broken_optional", "plot", "this")
    assert caught.value.name == "broken_optional"
    assert isinstance(caught.value.__cause__, ImportError)  # with its traceback
