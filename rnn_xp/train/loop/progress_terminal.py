"""Progress in a terminal, drawn by rich: a bar below the lines of the epochs."""

from __future__ import annotations

from typing import Any

from rnn_xp.train.loop.progress import Moment, Progress, left_in_words

LEAST, MOST = 10, 30
"""Columns of the bar."""


class Live(Progress):
    """Rewrites one line, as `Progress` does: no thread, and no cursor that an error would leave hidden."""

    def __init__(self, epochs: int, batches: int) -> None:
        from rich.console import Console

        super().__init__(epochs, batches)
        self.live = True
        self._console = Console(file=self._stream, highlight=False)

    def show(self, now: Moment) -> None:
        """Rewrite the bar, and what stands beside it."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        spare = [now.place, f"gradient {now.gradient:.3g}", f"{now.rate:.0f} sequences/s"]
        words = [f"epoch {now.epoch}/{self._epochs}", spare[0], f"loss {now.loss:.4f}", *spare[1:]]
        words += left_in_words(now.left)
        for word in spare:
            if self._room(words) < LEAST:
                words.remove(word)
        bar = ProgressBar(1.0, now.share, max(LEAST, min(self._room(words), MOST)))
        cells: list[Any] = [words[0], bar, *words[1:]]
        row = Table.grid(*[""] * len(cells), padding=(0, 2, 0, 0))
        for column in row.columns:
            column.no_wrap = True  # what is too long is cut off: the line must stay one
        row.add_row(*cells)
        with self._console.capture() as drawn:
            self._console.print(row, width=self._console.width - 1, end="")
        self._stream.write("\r\033[K" + drawn.get().rstrip("\n"))
        self._stream.flush()

    def line(self, text: str, *, last: bool) -> None:  # noqa: ARG002
        """Write a line that stays, above the bar."""
        from rich.text import Text

        words = Text(text)
        words.highlight_regex(r"best$", "bold green")
        words.highlight_regex(r"^(epoch +\d+/\d+|stopped:)", "bold")
        self._stream.write("\r\033[K")
        self._console.print(words, soft_wrap=True)

    def _room(self, words: list[str]) -> int:
        """Return how many columns are left for the bar, two between each two cells."""
        width: int = self._console.width
        return width - 1 - sum(len(word) + 2 for word in words)
