"""Compiled forms: a model as arrays or as an ONNX graph, answered without its library and without unpickling anything.

A form is a folder: `form.json` says what is done (docs/schemas/form.v1.json), `*.npy` and `*.onnx` hold the numbers. Rows
go through a stage (text to counted terms, columns to one matrix) and a core (a linear map, trees, a graph); each output is a
link applied to what the core answers. The check measures parity with this very code, and the image runs it.
"""

from serving.forms.form import Form, RowsNotTaken, load

__all__ = ["Form", "RowsNotTaken", "load"]
