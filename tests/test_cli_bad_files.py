"""Files that hold no data to train on: one message, nothing written."""

import numpy as np
import pytest

from rnn_xp.cli import main

TABLE = "id,time,a,target\n" + "".join(f"s{n},{t},{n + t},{n}.5\n" for n in range(4) for t in range(2))

FILES = {
    "semicolon.csv": (TABLE.replace(",", ";").encode(), "separated by commas; got ';'. Save the file with"),
    "tab.csv": (TABLE.replace(",", "\t").encode(), r"separated by commas; got '\t'."),
    "pipe.csv": (TABLE.replace(",", "|").encode(), "there must be a column 'id'; got 'id|time|a|target'."),
    "utf16.csv": (TABLE.encode("utf-16"), "the file must be text in UTF-8; got byte 0xff. Save it as UTF-8."),
    "header.csv": (
        b"id,time,a,target\n",
        "there must be a header and at least one more line; got 1 line(s).",
    ),
    "empty.csv": (b"", "there must be a header and at least one more line; got 0 line(s)."),
    "tiny.csv": (TABLE.replace(".5", "e-200").encode(), "column target: the spread of its values underflows"),
    "small.csv": (
        b"id,time,a,target\n" + b"".join(b"s%d,0,%de-200,%d.5\n" % (n, n, n) for n in range(4)),
        "column a: the spread of its values underflows; scale them up, or check them.",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(FILES))
def test_a_file_that_holds_no_data(capsys, tmp_path, name):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    command = ["train", "--data", str(tmp_path / name), "--backend", "numpy", "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"rnn-xp: error: {tmp_path / name}: ")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_negative_tokens(capsys, tmp_path):
    np.savez(tmp_path / "data.npz", X=np.full((4, 3), -1), y=np.arange(4.0))
    assert main(["train", "--data", str(tmp_path / "data.npz"), "--out", str(tmp_path / "run")]) == 1
    assert "`X` must hold tokens in 0..V-1 with V = 1; got -1..-1." in capsys.readouterr().err
