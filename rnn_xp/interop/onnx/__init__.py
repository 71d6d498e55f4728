"""Whole models to ONNX, and from it.

`write` leads out: `graph` collects nodes, and `emit` says which ones each layer becomes.

`read` leads in: `source` opens a file, and `interpret` goes through its nodes. What does not depend on X is
computed (`forms`). Of what does, the elements are followed (`elements`, `moves`), and `rules`, with `maps`
and `pools`, says which layer a node is; `row` puts the layers together.

`operators` is what both share: a recurrent layer of ours, and its operator with W, R, B and P.
"""

from rnn_xp.interop.onnx.read import Reading as Reading
from rnn_xp.interop.onnx.read import load as load
from rnn_xp.interop.onnx.read import read as read
from rnn_xp.interop.onnx.write import export as export
from rnn_xp.interop.onnx.write import save as save
