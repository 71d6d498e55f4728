"""The command line on JapaneseVowels."""

import json

from rnn_xp.cli import main


def test_japanese_vowels(capsys, tmp_path):
    run = str(tmp_path / "run")
    assert main(["train", "--task", "japanese-vowels", "--json", "--out", run]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]
    assert result["metrics"]["accuracy"] >= 0.96
    assert main(["evaluate", run, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["result"]
    assert again["metrics"] == result["metrics"]
    assert [sum(row) for row in again["metrics"]["confusion"]] == [31, 35, 88, 44, 29, 24, 40, 50, 29]
