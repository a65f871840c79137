"""Reads a .tflite file: its graphs with tensors and operators, as plain Python.

The layout is TensorFlow's schema.fbs, by the packages `tflite` and `flatbuffers`. Those trust the file; what
they raise at one that is damaged becomes a `ModelError` here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

from lunette.errors import LunetteError

_NAMES = {number: name for name, number in vars(tflite.BuiltinOperator).items() if name[0] != "_"}
_KINDS = {number: name for name, number in vars(tflite.TensorType).items() if name[0] != "_"}
_ITEMS = {"INT8": "<i1", "UINT8": "<u1", "INT32": "<i4"}

# Which of an operator's options count, by the table that holds them.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "Conv2DOptions": ("DilationHFactor", "DilationWFactor", "FusedActivationFunction", "Padding"),
    "DepthwiseConv2DOptions": (
        *("DilationHFactor", "DilationWFactor", "FusedActivationFunction", "Padding", "DepthMultiplier"),
    ),
    "ConcatenationOptions": ("Axis", "FusedActivationFunction"),
    "StridedSliceOptions": (
        "BeginMask",
        "EndMask",
        "EllipsisMask",
        "NewAxisMask",
        "ShrinkAxisMask",
        "Offset",
    ),
    "FullyConnectedOptions": ("FusedActivationFunction", "WeightsFormat"),
    "CallOnceOptions": ("InitSubgraphIndex",),
    "VarHandleOptions": ("SharedName",),
}
_TABLES = {
    number: name
    for name, number in vars(tflite.BuiltinOptions).items()
    if name in _OPTIONS and hasattr(tflite, name)
}
_DAMAGE = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError, MemoryError)


class ModelError(LunetteError, ValueError):
    """The model is damaged, or has something that the glasses do not run: the message names it."""


@dataclass(frozen=True)
class Tensor:
    """`shape` is () if it has none; `scales` and `zeros` are empty if it is not quantised, and have a number
    for each index of dimension `axis`, or one for all. `data` is None if it is not constant."""

    name: str
    shape: tuple[int, ...]
    kind: str
    scales: np.ndarray[Any, np.dtype[np.float32]]
    zeros: tuple[int, ...]
    axis: int
    data: np.ndarray[Any, Any] | None


@dataclass(frozen=True)
class Operator:
    """`name` as in "CONV_2D"; tensors by their numbers, -1 for one that is left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes) -> list[Graph]:
    """The graphs of a .tflite file, the first of which is run. ModelError if it is none."""
    if content[4:8] != b"TFL3":
        raise ModelError("this is no .tflite file")
    try:
        model = tflite.Model.GetRootAs(content, 0)
        graphs = [_graph(model, model.Subgraphs(i)) for i in range(model.SubgraphsLength())]
    except ModelError:
        raise
    except _DAMAGE as error:
        raise ModelError(f"the .tflite file is damaged: {error}") from error
    if not graphs:
        raise ModelError("the .tflite file has no graph")
    return graphs


def _graph(model: Any, graph: Any) -> Graph:
    tensors = tuple(_tensor(model, graph.Tensors(i)) for i in range(graph.TensorsLength()))
    operators = tuple(_operator(model, graph.Operators(i)) for i in range(graph.OperatorsLength()))
    inputs = tuple(graph.Inputs(i) for i in range(graph.InputsLength()))
    outputs = tuple(graph.Outputs(i) for i in range(graph.OutputsLength()))
    for number in (*inputs, *outputs, *(n for one in operators for n in (*one.inputs, *one.outputs))):
        if not -1 <= number < len(tensors):
            raise ModelError(f"the .tflite file is damaged: there is no tensor {number}")
    return Graph(tensors, operators, inputs, outputs)


def _tensor(model: Any, tensor: Any) -> Tensor:
    name = (tensor.Name() or b"").decode(errors="replace")
    shape = tuple(tensor.Shape(i) for i in range(tensor.ShapeLength()))
    kind = _KINDS.get(tensor.Type(), f"type {tensor.Type()}")
    quantised = tensor.Quantization()
    scales, zeros, axis = np.zeros(0, np.float32), (), 0
    if quantised is not None and quantised.ScaleLength():
        scales = np.array([quantised.Scale(i) for i in range(quantised.ScaleLength())], np.float32)
        zeros = tuple(quantised.ZeroPoint(i) for i in range(quantised.ZeroPointLength()))
        axis = quantised.QuantizedDimension()
    buffer = model.Buffers(tensor.Buffer())
    data = None
    if buffer.DataLength() and kind in _ITEMS:
        data = np.frombuffer(buffer.DataAsNumpy().tobytes(), _ITEMS[kind]).reshape(shape)
    return Tensor(name, shape, kind, scales, zeros, axis, data)


def _operator(model: Any, operator: Any) -> Operator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _NAMES.get(number, f"operator {number}")
    if name == "CUSTOM":
        name = (code.CustomCode() or b"").decode(errors="replace") or name
    inputs = tuple(operator.Inputs(i) for i in range(operator.InputsLength()))
    outputs = tuple(operator.Outputs(i) for i in range(operator.OutputsLength()))
    options = {}
    table = _TABLES.get(operator.BuiltinOptionsType())
    held = operator.BuiltinOptions()
    if table and held is not None:
        read = getattr(tflite, table)()
        read.Init(held.Bytes, held.Pos)
        options = {option: getattr(read, option)() for option in _OPTIONS[table]}
    return Operator(name, inputs, outputs, options)
