"""Whole models to ONNX, and from it.

`writing` leads out: `graph` collects nodes, `layers` says which ones each layer becomes, and `export` puts
the model together.

`reading` leads in: `file` opens a file, and `interpret` goes through its nodes. What does not depend on X is
`computed`. Of what does, the `elements` are followed on their `moves`, and `layers`, with `features` and
`pooling`, says which layer a node is; `sequential` puts the layers in a row, and `load` makes the model.

`operators` is what both share: a recurrent layer of ours, and its operator with W, R, B and P.
"""

from rnn_xp.interop.onnx.reading.load import Reading as Reading
from rnn_xp.interop.onnx.reading.load import load as load
from rnn_xp.interop.onnx.reading.load import read as read
from rnn_xp.interop.onnx.writing.export import export as export
from rnn_xp.interop.onnx.writing.export import save as save
