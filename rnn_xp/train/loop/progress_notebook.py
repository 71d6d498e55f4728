"""Progress in a notebook, drawn by tqdm: a bar over all epochs, and their lines."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from rnn_xp.train.loop.progress import Moment, Progress


class Bar(Progress):
    """A widget where there are some (ipywidgets), else a bar of characters."""

    def __init__(self, epochs: int, batches: int) -> None:
        if find_spec("ipywidgets"):
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
        super().__init__(epochs, batches)
        self.live, self._made, self._bar = True, tqdm, None

    def show(self, now: Moment) -> None:
        """Move the bar."""
        self._move(now.done, f"loss {now.loss:.4f}  gradient {now.gradient:.3g}  {now.rate:.0f} sequences/s")

    def line(self, text: str, *, last: bool) -> None:
        """Write a line that stays, and end the bar after the last one."""
        bar = self._opened()
        bar.write(text, file=self._stream)
        if last:
            bar.close()

    def epoch(self, record: Any, note: str = "") -> None:
        """Move the bar to the end of the epoch, and write its line."""
        self._move(record["epoch"] * self._batches, f"loss {record['loss']:.4f}")
        super().epoch(record, note)

    def _move(self, done: float, words: str) -> None:
        """Show how many batches are done."""
        bar = self._opened()
        bar.n = round(done)
        bar.set_postfix_str(words)

    def _opened(self) -> Any:
        """Return the bar, which begins where the training does."""
        if self._bar is None:
            total, begun = self._epochs * self._batches, int(self._begun)
            self._bar = self._made(total=total, initial=begun, unit="batch", file=self._stream)
        return self._bar
