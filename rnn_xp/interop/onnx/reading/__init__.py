"""From an ONNX graph to a model that can be trained further."""
