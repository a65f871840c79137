"""Small .tflite models of microWakeWord's kind with random weights, for TensorFlow Lite to run."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite

BANDS = 40
INPUT = (0.10196078568696976, -128)
_KINDS = {"INT8": ("<i1", 9), "INT32": ("<i4", 2), "UINT8": ("<u1", 3), "RESOURCE": ("<i4", 13)}


@dataclass
class Shape:
    """`rows` are given to a step, the first convolution sees `first_rows` and has `filters` outputs. Then
    blocks of (channels and taps of each range, outputs); the last layer sees `last_rows`."""

    rows: int = 3
    first_rows: int = 5
    filters: int = 16
    blocks: tuple = ((((16, 5),), 16),)
    last_rows: int = 1
    seed: int = 1
    extra: str = ""  # an operation before the last layer
    initial: int = -128  # what states begin with


@dataclass
class _Graph:
    tensors: list = field(default_factory=list)
    operators: list = field(default_factory=list)


class Builder:
    def __init__(self, shape):
        self._b = flatbuffers.Builder(1 << 16)
        self._rng = np.random.default_rng(shape.seed)
        self._buffers = [b""]
        self._codes = []
        self._main, self._initial = _Graph(), _Graph()
        self.shape = shape

    # --- parts ------------------------------------------------------------------------------------------

    def tensor(self, shape, kind="INT8", scale=None, zero=0, data=None, axis=0, graph=None):
        graph = graph or self._main
        self._buffers.append(b"" if data is None else np.asarray(data, _KINDS[kind][0]).tobytes())
        graph.tensors.append((shape, kind, scale, zero, len(self._buffers) - 1, axis))
        return len(graph.tensors) - 1

    def operator(self, name, inputs, outputs, options=None, graph=None):
        if name not in self._codes:
            self._codes.append(name)
        (graph or self._main).operators.append((self._codes.index(name), inputs, outputs, options))

    def ints(self, *values):
        return self.tensor((len(values),), "INT32", data=values)

    def _layer(self, name, given, window, weights, axis, relu):
        """An operation with random scales; (tensor, scale and zero)."""
        rng = self._rng
        channels = weights.shape[axis]
        count = weights.size // channels
        # A sum of products is a few times the root of their number times what bytes and weights are.
        one = name == "FULLY_CONNECTED"
        wide = np.sqrt(count) * 70 * 60 * (0.25 if count > 20 else 0.6)
        scales = np.exp(rng.normal(-5, 0.6, 1 if one else channels)).astype(np.float32)
        scale = np.float32(window[0] * np.exp(-5) * wide / 127 * rng.uniform(0.7, 1.5))
        zero = -128 if relu else int(rng.integers(-30, 30))
        bias = rng.integers(-3000, 3000, channels)
        held = self.tensor(weights.shape, scale=scales, zero=[0] * len(scales), data=weights, axis=axis)
        biases = self.tensor(
            (channels,), "INT32", scale=scales * window[0], zero=[0] * len(scales), data=bias
        )
        shape = (1, channels) if one else (1, 1, 1, channels)
        out = self.tensor(shape, scale=[scale], zero=[zero])
        self.operator(name, [given, held, biases], [out], (name, int(relu)))
        return out, (scale, zero)

    def _random(self, *shape):
        return np.clip(np.round(self._rng.normal(0, 50, shape)), -127, 127)

    def _window(self, name, given, quantised, kept, new, channels):
        """The rows of a state and the new ones."""
        scale, zero = [quantised[0]], [quantised[1]]
        state = self.tensor((), "RESOURCE")
        self.operator("VAR_HANDLE", [], [state], ("VAR_HANDLE", name))
        old = self.tensor((1, kept, 1, channels), scale=scale, zero=zero)
        self.operator("READ_VARIABLE", [state], [old])
        whole = self.tensor((1, kept + new, 1, channels), scale=scale, zero=zero)
        self.operator("CONCATENATION", [old, given], [whole], ("CONCATENATION", 1))
        rest = self.tensor((1, kept, 1, channels), scale=scale, zero=zero)
        self._slice(whole, rest, -kept)
        self.operator("ASSIGN_VARIABLE", [state, rest], [])
        first = self.tensor((), "RESOURCE", graph=self._initial)
        self.operator("VAR_HANDLE", [], [first], ("VAR_HANDLE", name), self._initial)
        zeros = np.full((1, kept, 1, channels), self.shape.initial)
        filled = self.tensor(zeros.shape, scale=scale, zero=zero, data=zeros, graph=self._initial)
        self.operator("ASSIGN_VARIABLE", [first, filled], [], None, self._initial)
        return whole

    def _slice(self, given, out, begin):
        ends = self.ints(0, begin, 0, 0), self.ints(0, 0, 0, 0), self.ints(1, 1, 1, 1)
        self.operator("STRIDED_SLICE", [given, *ends], [out], ("STRIDED_SLICE", 13, 15))

    # --- the whole --------------------------------------------------------------------------------------

    def build(self):
        shape = self.shape
        given = self.tensor((1, shape.rows, BANDS), scale=[INPUT[0]], zero=[INPUT[1]])
        self.operator("CALL_ONCE", [], [], ("CALL_ONCE", 1))
        now = self.tensor((1, shape.rows, 1, BANDS), scale=[INPUT[0]], zero=[INPUT[1]])
        self.operator("RESHAPE", [given, self.ints(1, shape.rows, 1, BANDS)], [now])
        quantised = INPUT
        kept = shape.first_rows - shape.rows
        if kept:
            now = self._window("first", now, quantised, kept, shape.rows, BANDS)
        weights = self._random(shape.filters, shape.first_rows, 1, BANDS)
        now, quantised = self._layer("CONV_2D", now, quantised, weights, 0, True)
        channels = shape.filters
        for number, (ranges, outputs) in enumerate(shape.blocks):
            now, quantised = self._block(str(number), now, quantised, channels, ranges, outputs)
            channels = outputs
        if shape.last_rows > 1:
            now = self._window("last", now, quantised, shape.last_rows - 1, 1, channels)
            flat = self.tensor((1, shape.last_rows * channels), scale=[quantised[0]], zero=[quantised[1]])
            self.operator("RESHAPE", [now, self.ints(-1, shape.last_rows * channels)], [flat])
            now = flat
        if shape.extra:
            more = self.tensor((1, 1, 1, channels), scale=[quantised[0]], zero=[quantised[1]])
            self.operator(shape.extra, [now], [more])
            now = more
        weights = self._random(1, shape.last_rows * channels)
        now, quantised = self._layer("FULLY_CONNECTED", now, quantised, weights, 0, False)
        said = self.tensor((1, 1), scale=[1 / 256], zero=[-128])
        self.operator("LOGISTIC", [now], [said])
        out = self.tensor((1, 1), "UINT8", scale=[1 / 256], zero=[0])
        self.operator("QUANTIZE", [said], [out])
        return self._finish([given], [out])

    def _block(self, name, now, quantised, channels, ranges, outputs):
        rows = max(taps for _, taps in ranges)
        now = self._window(name, now, quantised, rows - 1, 1, channels)
        held = [now]
        if len(ranges) > 1:
            sizes = self.ints(*(size for size, _ in ranges))
            held = [
                self.tensor((1, rows, 1, size), scale=[quantised[0]], zero=[quantised[1]])
                for size, _ in ranges
            ]
            self.operator("SPLIT_V", [now, sizes, self.tensor((), "INT32", data=[-1])], held, ("SPLIT_V",))
        made = []
        for part, (size, taps) in zip(held, ranges, strict=True):
            used = part
            if taps < rows:
                used = self.tensor((1, taps, 1, size), scale=[quantised[0]], zero=[quantised[1]])
                self._slice(part, used, -taps)
            weights = self._random(1, taps, 1, size)
            made.append(self._layer("DEPTHWISE_CONV_2D", used, quantised, weights, 3, False))
        now, after = made[0]
        if len(made) > 1:
            # All of one scale: that of the first.
            for one, _ in made[1:]:
                self._main.tensors[one] = (
                    *self._main.tensors[one][:2],
                    [after[0]],
                    [after[1]],
                    *self._main.tensors[one][4:],
                )
            now = self.tensor((1, 1, 1, channels), scale=[after[0]], zero=[after[1]])
            self.operator("CONCATENATION", [one for one, _ in made], [now], ("CONCATENATION", -1))
        weights = self._random(outputs, 1, 1, channels)
        return self._layer("CONV_2D", now, after, weights, 0, True)

    # --- the file ---------------------------------------------------------------------------------------

    def _vector(self, items, what="int32"):
        return self._b.CreateNumpyVector(np.asarray(items, what))

    def _tables(self, ends):
        self._b.StartVector(4, len(ends), 4)
        for end in reversed(ends):
            self._b.PrependUOffsetTRelative(end)
        return self._b.EndVector()

    def _options(self, options):
        """(kind, table) of an operation's."""
        b = self._b
        what, *values = options
        if what == "CONV_2D":
            tflite.Conv2DOptionsStart(b)
            tflite.Conv2DOptionsAddPadding(b, 1)
            tflite.Conv2DOptionsAddStrideH(b, 1)
            tflite.Conv2DOptionsAddStrideW(b, 1)
            tflite.Conv2DOptionsAddFusedActivationFunction(b, values[0])
            return "Conv2DOptions", tflite.Conv2DOptionsEnd(b)
        if what == "DEPTHWISE_CONV_2D":
            tflite.DepthwiseConv2DOptionsStart(b)
            tflite.DepthwiseConv2DOptionsAddPadding(b, 1)
            tflite.DepthwiseConv2DOptionsAddStrideH(b, 1)
            tflite.DepthwiseConv2DOptionsAddStrideW(b, 1)
            tflite.DepthwiseConv2DOptionsAddDepthMultiplier(b, 1)
            return "DepthwiseConv2DOptions", tflite.DepthwiseConv2DOptionsEnd(b)
        if what == "CONCATENATION":
            tflite.ConcatenationOptionsStart(b)
            tflite.ConcatenationOptionsAddAxis(b, values[0])
            return "ConcatenationOptions", tflite.ConcatenationOptionsEnd(b)
        if what == "STRIDED_SLICE":
            tflite.StridedSliceOptionsStart(b)
            tflite.StridedSliceOptionsAddBeginMask(b, values[0])
            tflite.StridedSliceOptionsAddEndMask(b, values[1])
            return "StridedSliceOptions", tflite.StridedSliceOptionsEnd(b)
        if what == "CALL_ONCE":
            tflite.CallOnceOptionsStart(b)
            tflite.CallOnceOptionsAddInitSubgraphIndex(b, values[0])
            return "CallOnceOptions", tflite.CallOnceOptionsEnd(b)
        if what == "VAR_HANDLE":
            name = b.CreateString(values[0])
            tflite.VarHandleOptionsStart(b)
            tflite.VarHandleOptionsAddSharedName(b, name)
            return "VarHandleOptions", tflite.VarHandleOptionsEnd(b)
        if what == "SPLIT_V":
            tflite.SplitVOptionsStart(b)
            tflite.SplitVOptionsAddNumSplits(b, len(self.shape.blocks[0][0]))
            return "SplitVOptions", tflite.SplitVOptionsEnd(b)
        tflite.FullyConnectedOptionsStart(b)
        return "FullyConnectedOptions", tflite.FullyConnectedOptionsEnd(b)

    def _write_tensor(self, shape, kind, scale, zero, buffer, axis):
        b = self._b
        name, shape = b.CreateString("t"), self._vector(shape)
        quantised = None
        if scale is not None:
            scales, zeros = self._vector(scale, "float32"), self._vector(zero, "int64")
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scales)
            tflite.QuantizationParametersAddZeroPoint(b, zeros)
            tflite.QuantizationParametersAddQuantizedDimension(b, axis)
            quantised = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, _KINDS[kind][1])
        tflite.TensorAddBuffer(b, buffer)
        tflite.TensorAddName(b, name)
        if quantised is not None:
            tflite.TensorAddQuantization(b, quantised)
        return tflite.TensorEnd(b)

    def _write_operator(self, code, inputs, outputs, options):
        b = self._b
        inputs, outputs = self._vector(inputs), self._vector(outputs)
        if options:
            kind, options = self._options(options)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, code)
        tflite.OperatorAddInputs(b, inputs)
        tflite.OperatorAddOutputs(b, outputs)
        if options:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, kind))
            tflite.OperatorAddBuiltinOptions(b, options)
        return tflite.OperatorEnd(b)

    def _write_graph(self, graph, inputs, outputs):
        b = self._b
        tensors = self._tables([self._write_tensor(*one) for one in graph.tensors])
        operators = self._tables([self._write_operator(*one) for one in graph.operators])
        inputs, outputs = self._vector(inputs), self._vector(outputs)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outputs)
        tflite.SubGraphAddOperators(b, operators)
        return tflite.SubGraphEnd(b)

    def _finish(self, inputs, outputs):
        b = self._b
        graphs = [self._write_graph(self._main, inputs, outputs), self._write_graph(self._initial, [], [])]
        codes = []
        for name in self._codes:
            number = getattr(tflite.BuiltinOperator, name)
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
            tflite.OperatorCodeAddBuiltinCode(b, number)
            tflite.OperatorCodeAddVersion(b, {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3}.get(name, 1))
            codes.append(tflite.OperatorCodeEnd(b))
        buffers = []
        for data in self._buffers:
            held = b.CreateByteVector(data) if data else None
            tflite.BufferStart(b)
            if held is not None:
                tflite.BufferAddData(b, held)
            buffers.append(tflite.BufferEnd(b))
        graphs, codes, buffers = self._tables(graphs), self._tables(codes), self._tables(buffers)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())


def build(shape):
    return Builder(shape).build()
