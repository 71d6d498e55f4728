"""What came of the mutants: those listed as equivalent, the score, a table, and everything as JSON."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from mutants import Mutant
from trial import Answer

CAUGHT = ("test", "error", "time", "crash")
FIELDS = ("file", "function", "line", "operator", "before", "after", "nth")  # of a mutant's key, in the list


class Result(NamedTuple):
    """A mutant, what became of it, and why it is equivalent where it is said to be."""

    mutant: Mutant
    answer: Answer
    reason: str | None

    @property
    def caught(self) -> bool:
        """Whether the tests noticed it."""
        return self.answer.verdict in CAUGHT


def listed() -> dict[tuple[Any, ...], str]:
    """Return the reasons of equivalent.toml by the keys of its mutants."""
    text = Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text).get("mutant", [])
    return {tuple(entry.get(field, 0) for field in FIELDS): entry["reason"] for entry in entries}


def in_toml(mutant: Mutant) -> str:
    """Return a mutant as equivalent.toml holds it, the reason left open."""
    values = zip(FIELDS, mutant.key, strict=True)
    rows = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values if value != 0]
    return "\n".join(["[[mutant]]", *rows, f'reason = ""  # line {mutant.line}', ""])


def score(results: list[Result]) -> float:
    """Return the share of caught ones among those that are not equivalent."""
    counted = [result for result in results if result.caught or result.reason is None]
    return sum(result.caught for result in counted) / max(1, len(counted))


def table(found: dict[str, list[Mutant]], results: list[Result]) -> str:
    """Return a row a file, and one for all."""
    columns = ("mutants", "tried", *CAUGHT, "equivalent", "survived", "score")
    rows = [" " * 22 + "".join(f"{name:>11}" for name in columns)]
    total = sum(map(len, found.values()))
    for file, count in {**{name: len(mutants) for name, mutants in found.items()}, "all": total}.items():
        own = [result for result in results if file in (result.mutant.file, "all")]
        verdicts = Counter(result.answer.verdict for result in own)
        missed = [result for result in own if not result.caught]
        equivalent = sum(result.reason is not None for result in missed)
        numbers = [
            count,
            len(own),
            *[verdicts[name] for name in CAUGHT],
            equivalent,
            len(missed) - equivalent,
        ]
        share = f"{score(own):11.1%}" if own else ""
        rows.append(f"{file:22}" + "".join(f"{number:11}" for number in numbers) + share)
    return "\n".join(rows)


def told(found: dict[str, list[Mutant]], results: list[Result], reasons: dict[tuple[Any, ...], str]) -> str:
    """Return what a reader wants to know: survivors, what is wrong with the list, and the table."""
    survivors = [in_toml(result.mutant) for result in results if not result.caught and result.reason is None]
    wrong = [
        f"{in_toml(result.mutant)}# caught by {result.answer.by or result.answer.verdict}\n"
        for result in results
        if result.caught and result.reason is not None
    ]
    keys = {mutant.key for mutants in found.values() for mutant in mutants}
    gone = [f"{key}\n" for key in reasons if key[0] in found and key not in keys]
    titles = ("Survivors", "Listed as equivalent, but caught", "Listed, but no mutant any more")
    parts = zip(titles, (survivors, wrong, gone), strict=True)
    lists = [f"{title}:\n\n" + "\n".join(entries) for title, entries in parts if entries]
    return "\n".join(["", *lists, table(found, results)])


def as_json(found: dict[str, list[Mutant]], results: list[Result], **more: Any) -> str:
    """Return counts for each file, and every mutant that was missed, with the reason where it may be."""
    files = {}
    for file, mutants in found.items():
        own = [result for result in results if result.mutant.file == file]
        equivalent = sum(not result.caught and result.reason is not None for result in own)
        caught = sum(result.caught for result in own)
        files[file] = {"mutants": len(mutants), "tried": len(own), "caught": caught, "equivalent": equivalent}
    missed = [
        {**dict(zip(FIELDS, result.mutant.key, strict=True)), "reason": result.reason}
        for result in results
        if not result.caught
    ]
    whole = {**more, "tried": len(results), "score": score(results), "files": files, "missed": missed}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
