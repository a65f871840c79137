"""From a microWakeWord .tflite model to what the glasses run (`format`).

Understood are networks of that family: streaming windows (READ_VARIABLE, CONCATENATION, STRIDED_SLICE,
ASSIGN_VARIABLE), CONV_2D and DEPTHWISE_CONV_2D of such a window that give one step each, SPLIT_V into ranges
of channels and CONCATENATION of what becomes of them, FULLY_CONNECTED, and at the end LOGISTIC and QUANTIZE.
Shapes, kernels and ranges are the model's. Anything else is refused by name.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import format
from .format import (
    DENSE,
    DEPTHWISE,
    GATHER,
    INPUT,
    REMEMBER,
    SCALE,
    SLIDE,
    SPARSE,
    TABLE,
    Operation,
)
from .tflite_model import Graph, ModelError, Operator, Tensor, read

_BANDS = 40
_INPUT_SCALE = 26 / 255  # what features make of their numbers
_VECTOR = (
    8  # channels at a time in TensorFlow's depthwise convolution: only those that are left over round away
)

# --- What the operators' tensors are -----------------------------------------------------------------------


@dataclass
class _Made:
    """Bytes that an operator computes in each step: `channels` of them. Users are windows or operators."""

    operator: Operator
    channels: int
    users: list[Any] = field(default_factory=list)


@dataclass
class _Input:
    rows: int
    users: list[Any] = field(default_factory=list)


@dataclass
class _State:
    """A variable: the rows of a window that are kept."""

    name: str
    rows: int
    channels: int


@dataclass
class _Window:
    """Rows of a state and the newest."""

    state: _State
    source: _Made | _Input
    rows: int
    channels: int
    users: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    """Some rows and channels of a window."""

    window: _Window
    rows: tuple[int, int]
    channels: tuple[int, int]


@dataclass
class _Joined:
    """Bytes of several operators next to each other."""

    parts: tuple[_Made, ...]
    users: list[Any] = field(default_factory=list)

    @property
    def channels(self) -> int:
        return sum(part.channels for part in self.parts)


_Value = _Made | _Input | _State | _Part | _Joined


@dataclass
class _Layer:
    """Sums, and what makes bytes of them. `source` is what is summed: all channels of a part of a window, or
    each by itself (depthwise)."""

    operator: Operator
    source: _Value
    made: _Made


@dataclass
class _Network:
    rows: int
    layers: list[_Layer]
    last: _Made
    table: bytes


def _refuse(operator: Operator | str, why: str) -> ModelError:
    name = operator if isinstance(operator, str) else operator.name
    return ModelError(f"the glasses do not run {name}" + (f" {why}" if why else ""))


class _Reader:
    """Goes through the graph and notes what each tensor is."""

    def __init__(self, graphs: Sequence[Graph]):
        self._graphs = graphs
        self._graph = graphs[0]
        self._values: dict[int, _Value] = {}
        self._layers: list[_Layer] = []
        self._kept: set[str] = set()
        self._logits: tuple[_Made, Tensor] | None = None
        self._table: tuple[_Made, bytes] | None = None

    def network(self) -> _Network:
        graph = self._graph
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise ModelError("a wake word has one input and one output")
        given = graph.tensors[graph.inputs[0]]
        if given.kind != "INT8" or len(given.shape) != 3 or given.shape[0] != 1 or given.shape[2] != _BANDS:
            raise ModelError(f"a wake word's input is [1, rows, {_BANDS}] of INT8, not {list(given.shape)}")
        if not 1 <= given.shape[1] <= 16:
            raise ModelError(f"a wake word hears 1 to 16 vectors a step, not {given.shape[1]}")
        if abs(_scale(given) - _INPUT_SCALE) > 1e-6 or _zero(given) != -128:
            wrong = f"{_scale(given)}, zero at {_zero(given)}"
            raise ModelError(f"inputs of another scale than {_INPUT_SCALE:.8f}: {wrong}")
        self._values[graph.inputs[0]] = _Input(given.shape[1])
        for operator in graph.operators:
            handler: Callable[[Operator], None] | None = getattr(self, f"_{operator.name.lower()}", None)
            if handler is None:
                raise _refuse(operator, "")
            handler(operator)
        if self._table is None:
            raise ModelError("the model does not end with LOGISTIC and QUANTIZE")
        return _Network(given.shape[1], self._layers, *self._table)

    # --- variables --------------------------------------------------------------------------------------

    def _call_once(self, operator: Operator) -> None:
        """States begin with -128, which is 0 here; the graph that sets them is looked at, not run."""
        number = operator.options.get("InitSubgraphIndex", 0)
        if not 0 < number < len(self._graphs):
            raise _refuse(operator, f"of graph {number}")
        graph = self._graphs[number]
        for one in graph.operators:
            if one.name == "VAR_HANDLE":
                continue
            if one.name != "ASSIGN_VARIABLE":
                raise _refuse(one, "in CALL_ONCE")
            tensor = graph.tensors[one.inputs[1]]
            if tensor.data is None or tensor.kind != "INT8" or np.any(tensor.data != -128):
                raise _refuse("ASSIGN_VARIABLE", "of states that do not begin with -128")

    def _var_handle(self, operator: Operator) -> None:
        name = operator.options.get("SharedName") or b""
        self._values[operator.outputs[0]] = _State(name.decode(errors="replace"), 0, 0)

    def _read_variable(self, operator: Operator) -> None:
        handle = self._value(operator, 0, _State)
        shape = self._out(operator).shape
        if len(shape) != 4 or shape[0] != 1 or shape[2] != 1 or min(shape) < 1:
            raise _refuse(operator, f"of shape {list(shape)}")
        self._set(operator, _State(handle.name, shape[1], shape[3]))

    def _assign_variable(self, operator: Operator) -> None:
        handle = self._value(operator, 0, _State)
        part = self._value(operator, 1, _Part)
        window = part.window
        if window.state.name != handle.name or handle.name in self._kept:
            raise _refuse(operator, "of what is not its window")
        wanted = (window.rows - window.state.rows, window.rows)
        if part.rows != wanted or part.channels != (0, window.channels):
            raise _refuse(operator, "of other rows than the newest of its window")
        self._kept.add(handle.name)

    # --- parts and shapes -------------------------------------------------------------------------------

    def _reshape(self, operator: Operator) -> None:
        value = self._value(operator, 0, (_Input, _Made, _Part, _Joined))
        shape = self._out(operator).shape
        count = math.prod(shape)
        before = math.prod(self._tensor(operator, 0).shape)
        if count != before or (isinstance(value, _Input) and shape != (1, value.rows, 1, _BANDS)):
            raise _refuse(operator, f"to {list(shape)}")
        self._set(operator, value)

    def _concatenation(self, operator: Operator) -> None:
        out = self._out(operator)
        if operator.options.get("FusedActivationFunction"):
            raise _refuse(operator, "with an activation")
        for i in range(len(operator.inputs)):
            tensor = self._tensor(operator, i)
            if (_scale(tensor), _zero(tensor)) != (_scale(out), _zero(out)):
                raise _refuse(operator, "of different scales")
        axis = operator.options.get("Axis", 0) % max(len(out.shape), 1)
        first = self._value(operator, 0, (_State, _Made))
        if isinstance(first, _State) and axis == 1 and len(operator.inputs) == 2:
            source = self._value(operator, 1, (_Made, _Input, _Joined))
            if isinstance(source, _Joined):
                raise _refuse(operator, "of a window and several operators")
            rows, channels = (source.rows, _BANDS) if isinstance(source, _Input) else (1, source.channels)
            if channels != first.channels:
                raise _refuse(operator, f"of {first.channels} and {channels} channels")
            window = _Window(first, source, first.rows + rows, channels)
            source.users.append(window)
            self._set(operator, _Part(window, (0, window.rows), (0, channels)))
        elif isinstance(first, _Made) and axis == len(out.shape) - 1:
            parts = tuple(self._value(operator, i, _Made) for i in range(len(operator.inputs)))
            joined = _Joined(parts)
            for part in parts:
                part.users.append(joined)
            self._set(operator, joined)
        else:
            raise _refuse(operator, f"along dimension {axis}")

    def _split_v(self, operator: Operator) -> None:
        part = self._value(operator, 0, _Part)
        sizes, axis = self._constant(operator, 1), self._constant(operator, 2)
        if len(axis) != 1 or axis[0] not in (-1, 3) or len(sizes) != len(operator.outputs):
            raise _refuse(operator, f"along dimension {axis}")
        at, end = part.channels
        if any(size < 1 for size in sizes) or sum(sizes) != end - at:
            raise _refuse(operator, f"of {end - at} channels into {sizes}")
        for size, output in zip(sizes, operator.outputs, strict=True):
            self._values[output] = replace(part, channels=(at, at + size))
            at += size

    def _strided_slice(self, operator: Operator) -> None:
        """Rows of a window. As the models have it: begin and end, of which the masks leave out some."""
        part = self._value(operator, 0, _Part)
        begin, end, strides = (self._constant(operator, i) for i in (1, 2, 3))
        options = operator.options
        if len(begin) != 4 or len(end) != 4 or strides != [1, 1, 1, 1]:
            raise _refuse(operator, f"with strides {strides}")
        if any(options.get(f"{name}Mask") for name in ("Ellipsis", "NewAxis", "ShrinkAxis")):
            raise _refuse(operator, "that changes dimensions")
        if options.get("Offset"):
            raise _refuse(operator, "with ends that are offsets")
        shape = self._tensor(operator, 0).shape
        ranges = []
        for i, size in enumerate(shape):
            first = 0 if options.get("BeginMask", 0) >> i & 1 else begin[i]
            last = size if options.get("EndMask", 0) >> i & 1 else end[i]
            ranges.append(tuple(min(max(n + size if n < 0 else n, 0), size) for n in (first, last)))
        if any(ranges[i] != (0, shape[i]) for i in (0, 2, 3)) or ranges[1][0] >= ranges[1][1]:
            raise _refuse(operator, f"of {ranges}")
        offset = part.rows[0]
        self._set(operator, replace(part, rows=(offset + ranges[1][0], offset + ranges[1][1])))

    # --- what computes ----------------------------------------------------------------------------------

    def _conv_2d(self, operator: Operator) -> None:
        self._plain(operator)
        value = self._value(operator, 0, (_Part, _Input, _Made, _Joined))
        weights = self._weights(operator)
        _, height, width, depth = weights.shape
        rows = 1
        if isinstance(value, _Input):
            rows = value.rows
        elif isinstance(value, _Part):
            rows = value.rows[1] - value.rows[0]
        whole = not isinstance(value, _Part) or value.channels == (0, value.window.channels)
        if width != 1 or height != rows or depth != self._tensor(operator, 0).shape[-1] or not whole:
            raise _refuse(operator, f"with a kernel of {height}x{width}x{depth} on {rows} rows")
        self._layer(operator, value, weights.shape[0])

    def _depthwise_conv_2d(self, operator: Operator) -> None:
        self._plain(operator)
        value = self._value(operator, 0, _Part)
        weights = self._weights(operator)
        one, height, width, channels = weights.shape
        rows, held = value.rows[1] - value.rows[0], value.channels[1] - value.channels[0]
        if operator.options.get("DepthMultiplier") != 1 or (one, width, channels) != (1, 1, held):
            raise _refuse(operator, f"of {channels} outputs for {held} channels")
        if height != rows or value.rows[1] != value.window.rows:
            raise _refuse(operator, f"with a kernel of {height} on {rows} rows")
        if isinstance(value.window.source, _Input):
            raise _refuse(operator, "of the network's input")
        if rows > format.MAX_TAPS:
            raise _refuse(operator, f"with a kernel of more than {format.MAX_TAPS}")
        self._layer(operator, value, channels)

    def _fully_connected(self, operator: Operator) -> None:
        if operator.options.get("WeightsFormat"):
            raise _refuse(operator, "with shuffled weights")
        value = self._value(operator, 0, (_Part, _Made, _Joined))
        weights = self._weights(operator)
        if weights.ndim != 2 or weights.shape[1] != math.prod(self._tensor(operator, 0).shape):
            raise _refuse(operator, f"of {list(weights.shape)}")
        if isinstance(value, _Part) and (
            value.rows != (0, value.window.rows) or value.channels != (0, value.window.channels)
        ):
            raise _refuse(operator, "of a part of a window")
        self._layer(operator, value, weights.shape[0])

    def _plain(self, operator: Operator) -> None:
        options = operator.options
        if options.get("DilationHFactor", 1) != 1 or options.get("DilationWFactor", 1) != 1:
            raise _refuse(operator, "with dilation")

    def _weights(self, operator: Operator) -> np.ndarray[Any, Any]:
        if len(operator.inputs) < 2:
            raise _refuse(operator, "without weights")
        tensor = self._tensor(operator, 1)
        if tensor.kind != "INT8" or tensor.data is None or any(tensor.zeros):
            raise _refuse(operator, f"with weights of {tensor.kind} that are not constant around 0")
        if tensor.data.ndim != (2 if operator.name == "FULLY_CONNECTED" else 4):
            raise _refuse(operator, f"with weights of {tensor.data.ndim} dimensions")
        return tensor.data

    def _layer(self, operator: Operator, value: _Value, channels: int) -> None:
        out = self._out(operator)
        if out.kind != "INT8" or math.prod(out.shape) != channels:
            raise _refuse(operator, f"of more than one step: {list(out.shape)}")
        if operator.options.get("FusedActivationFunction", 0) not in (0, 1):
            raise _refuse(operator, "with another activation than RELU")
        if operator.options.get("FusedActivationFunction", 0) == 1 and _zero(out) != -128:
            raise _refuse(operator, "with a RELU whose zero is not the least number")
        made = _Made(operator, channels)
        layer = _Layer(operator, value, made)
        if isinstance(value, _Part):
            value.window.users.append(layer)
        elif isinstance(value, _Input | _Made | _Joined):
            value.users.append(layer)
        self._layers.append(layer)
        self._set(operator, made)

    def _logistic(self, operator: Operator) -> None:
        made = self._value(operator, 0, _Made)
        given, out = self._tensor(operator, 0), self._out(operator)
        if made.channels != 1 or (_scale(out), _zero(out)) != (np.float32(1 / 256), -128):
            raise _refuse(operator, "of more than one number, or with another scale than 1/256")
        self._logits = (made, given)
        made.users.append(operator)
        self._set(operator, made)

    def _quantize(self, operator: Operator) -> None:
        made = self._value(operator, 0, _Made)
        out = self._out(operator)
        if self._logits is None or self._logits[0] is not made:
            raise _refuse(operator, "but after LOGISTIC")
        if out.kind != "UINT8" or (_scale(out), _zero(out)) != (np.float32(1 / 256), 0):
            raise _refuse(operator, f"to {out.kind} of scale {_scale(out)}")
        if operator.outputs[0] != self._graph.outputs[0]:
            raise _refuse(operator, "that is not the output")
        self._table = (made, logistic(self._logits[1]))

    # --- access -----------------------------------------------------------------------------------------

    def _tensor(self, operator: Operator, i: int) -> Tensor:
        if i >= len(operator.inputs) or operator.inputs[i] < 0:
            raise _refuse(operator, f"without its input {i}")
        return self._graph.tensors[operator.inputs[i]]

    def _out(self, operator: Operator) -> Tensor:
        if not operator.outputs or operator.outputs[0] < 0:
            raise _refuse(operator, "without an output")
        return self._graph.tensors[operator.outputs[0]]

    def _constant(self, operator: Operator, i: int) -> list[int]:
        data = self._tensor(operator, i).data
        if data is None or data.dtype != np.dtype("<i4"):
            raise _refuse(operator, "with shapes that are computed")
        return [int(n) for n in data.ravel()]

    def _value(self, operator: Operator, i: int, kinds: Any) -> Any:
        self._tensor(operator, i)
        value = self._values.get(operator.inputs[i])
        if not isinstance(value, kinds):
            what = type(value).__name__.strip("_").lower() if value is not None else "a constant"
            raise _refuse(operator, f"of this ({what})")
        return value

    def _set(self, operator: Operator, value: _Value) -> None:
        self._out(operator)
        self._values[operator.outputs[0]] = value


def _scale(tensor: Tensor) -> np.float32:
    if len(tensor.scales) != 1 or not np.isfinite(tensor.scales[0]) or tensor.scales[0] <= 0:
        raise ModelError(f"{tensor.name[-60:]!r} is not quantised with one scale")
    return np.float32(tensor.scales[0])


def _zero(tensor: Tensor) -> int:
    if len(tensor.zeros) != 1 or not -128 <= tensor.zeros[0] <= 127:
        raise ModelError(f"{tensor.name[-60:]!r} has no zero point of a byte")
    return tensor.zeros[0]


def logistic(given: Tensor) -> bytes:
    """1 / (1 + exp(-x)) of all 256 numbers, as TensorFlow makes its table: in 32-bit floats."""
    numbers = np.arange(-128, 128, dtype=np.float32) - np.float32(_zero(given))
    with np.errstate(over="ignore"):
        exact = np.float32(1) / (np.float32(1) + np.exp(-(_scale(given) * numbers), dtype=np.float32))
    return bytes(int(n) for n in np.clip(np.floor(exact * np.float32(256) + np.float32(0.5)), 0, 255))


# --- Numbers ----------------------------------------------------------------------------------------------


def quantised(factor: float) -> tuple[int, int]:
    """(31 bits, by how much to shift down) of a factor: TensorFlow's QuantizeMultiplier."""
    if factor == 0:
        return 0, 0
    part, exponent = math.frexp(factor)
    bits = math.floor(part * 2**31 + 0.5)
    if bits == 2**31:
        bits, exponent = bits // 2, exponent + 1
    return bits, -exponent


def exact_byte(total: int, factor: int, down: int, zero: int, away: bool) -> int:
    """What TensorFlow makes of a sum: the specification of SCALE. `zero` is 0..255; halves of the second
    rounding go up, or `away` from zero."""
    high = (total * factor + 2**30) >> 31
    half = 2 ** (down - 1)
    return min(max(((high + half - (away and high < 0)) >> down) + zero, 0), 255)


def _record_byte(total: int, factor: int, bits: int, shift: int, zero: int, away: bool) -> int:
    """What SCALE makes of it (`format`)."""
    x = (total * factor + 2 ** (3 * bits - 1)) >> 2 * bits
    x -= (away and total < 0) << bits
    return min(max(((x >> shift) + 2 * zero + 1) >> 1, 0), 255)


def _record(total: tuple[int, int], factor: int, down: int, zero: int, away: bool, bits: int) -> int | None:
    """The factor of 3 * `bits` bits by which SCALE gives what TensorFlow does for all sums of a range."""
    low, high = total
    if 3 * bits >= 31:
        return factor << (3 * bits - 31)
    # Between two sums beside which the byte changes it is the same, so only those count.
    edges = {low, high}
    for byte in range(1, 256):
        at = (((byte - zero) << (31 + down)) - (1 << (30 + down)) - (1 << 30)) // factor
        edges.update(n for n in range(at - 2, at + 4) if low <= n <= high)
    near = factor >> (31 - 3 * bits)
    for tried in (near, near + 1):
        if all(
            _record_byte(n, tried, bits, bits + down - 1, zero, away)
            == exact_byte(n, factor, down, zero, away)
            for n in edges
        ):
            return tried
    return None


# --- Layers to operations ---------------------------------------------------------------------------------


class _Writer:
    def __init__(self, network: _Network):
        self._network = network
        self._arena = format.PAD
        self._sums = 0
        self.rings: list[format.Ring] = []
        self.operations: list[Operation] = []
        self._places: dict[int, int] = {}  # of what is made, by id: where in the arena
        self._rings_of: dict[tuple[int, tuple[int, int]], int] = {}  # (id of a window, channels): ring
        self._graph: Graph
        self._done: set[int] = set()

    def write(self, graph: Graph) -> format.Model:
        self._graph = graph
        network = self._network
        self._most = 2 * max((layer.made.channels for layer in network.layers), default=0)
        first = network.layers[0].source if network.layers else None
        count = network.rows * _BANDS
        if isinstance(first, _Part) and isinstance(first.window.source, _Input):
            at = self._slide(first.window) + first.window.rows * _BANDS - count
        elif isinstance(first, _Input):
            at = self._places[id(first)] = self._take(-(-count // 8) * 8)
        else:
            raise ModelError("the model does not begin with a convolution of its input")
        self.operations.append(Operation(INPUT, (at, count)))
        for layer in network.layers:
            if id(layer) not in self._done:
                self._layer(layer)
        self.operations.append(Operation(TABLE, (self._places[id(network.last)],), network.table))
        return format.Model(
            network.rows, _BANDS, self._take(0), self._sums, tuple(self.rings), tuple(self.operations)
        )

    def _take(self, size: int) -> int:
        """Where so many bytes of the arena are from now on."""
        at = self._arena
        self._arena += -(-size // 4) * 4
        return at

    def _slide(self, window: _Window) -> int:
        size = window.rows * window.channels
        at = self._take(-(-size // 8) * 8)
        self._places[id(window)] = at
        new = window.rows - window.state.rows
        self.operations.append(Operation(SLIDE, (at, size, new * window.channels)))
        return at

    def _layer(self, layer: _Layer) -> None:
        source = layer.source
        if layer.operator.name == "DEPTHWISE_CONV_2D":
            self._depthwise(layer)
        elif isinstance(source, _Part) and source.window.channels and self._in_rings(source.window):
            self._flat(layer, source)
        else:
            self._dense(layer)

    def _in_rings(self, window: _Window) -> bool:
        return (id(window), (0, window.channels)) in self._rings_of

    def _dense(self, layer: _Layer) -> None:
        source = layer.source
        weights = self._data(layer)
        weights = weights.reshape(weights.shape[0], -1)
        outputs, inputs = weights.shape
        if isinstance(source, _Part):
            at = self._places[id(source.window)] + source.rows[0] * source.window.channels
        else:
            at = self._places[id(source)]
        rows = [[int(weight) for weight in row] for row in weights]
        # What is 0 is skipped where it is 0 often: features, and what RELU leaves.
        first, filled = 0, -(-outputs // format.SPARSE_OUTPUTS) * format.SPARSE_OUTPUTS
        if _zero(self._graph.tensors[layer.operator.inputs[0]]) == -128 and filled <= outputs * 1.15:
            # Sums that are none are left in those that only this uses.
            rows += [[0] * inputs] * (filled - outputs)
            first = self._most if filled != outputs else 0
            width = -(-inputs // 4) * 4
            one = Operation(SPARSE, (at, width, filled, first), format.sparse_weights(rows))
        else:
            width = -(-inputs // 8) * 8
            one = Operation(DENSE, (at, width, outputs), format.dense_weights(rows))
        self._sums = max(self._sums, first + len(rows) + len(rows) % 2)
        self.operations.append(one)
        self._scale([layer], [0], first)

    def _depthwise(self, layer: _Layer) -> None:
        """Together with those whose outputs are joined with this one's."""
        joined = next((user for user in layer.made.users if isinstance(user, _Joined)), None)
        made = joined.parts if joined else (layer.made,)
        layers = [one for part in made for one in self._network.layers if one.made is part]
        first = 0
        added: list[int] = []
        for one in layers:
            if one.operator.name != "DEPTHWISE_CONV_2D":
                raise _refuse("CONCATENATION", f"of {one.operator.name} and DEPTHWISE_CONV_2D")
            part = one.source
            assert isinstance(part, _Part)
            ring = self._rings_of[id(part.window), part.channels]
            weights = self._data(one)[0, :, 0, :].T
            added.append(self._ring_sums(ring, weights, first))
            first += len(weights)
            self._done.add(id(one))
        self._sums = max(self._sums, first + first % 2)
        self._scale(layers, added, 0)
        if joined:
            self._places[id(joined)] = self._places[id(layers[0].made)]

    def _ring_sums(self, ring: int, weights: np.ndarray[Any, Any], first: int) -> int:
        """How many times 2**20 is added to each sum."""
        taps = -(-weights.shape[1] // 4) * 4
        rows = [[0] * (taps - weights.shape[1]) + [int(n) for n in row] for row in weights]
        self.operations.append(Operation(DEPTHWISE, (ring, taps, first), format.depthwise_weights(rows)))
        return -(-taps // 16)

    def _flat(self, layer: _Layer, part: _Part) -> None:
        """FULLY_CONNECTED of a window in rings: the sum of its channels' sums."""
        weights = self._data(layer)
        if len(weights) != 1:
            raise _refuse(layer.operator, "of a window with more than one output")
        window = part.window
        ring = self._rings_of[id(window), (0, window.channels)]
        if window.channels > format.MAX_FLAT:
            raise _refuse(layer.operator, f"of a window of {window.channels} channels")
        times = self._ring_sums(ring, weights.reshape(window.rows, window.channels).T, 0)
        self._sums = max(self._sums, window.channels + window.channels % 2)
        self.operations.append(Operation(GATHER, (window.channels,)))
        self._scale([layer], [times * window.channels], 0)

    def _data(self, layer: _Layer) -> np.ndarray[Any, Any]:
        data = self._graph.tensors[layer.operator.inputs[1]].data
        assert data is not None
        return data.astype(np.int64)

    # --- from sums to bytes, where they are needed --------------------------------------------------------

    def _scale(self, layers: list[_Layer], added: list[int], first: int) -> None:
        """`added` says of each layer how many times 2**20 is in its sums, which begin with number `first`."""
        made = layers[0].made
        records, aways = self._records(layers, added)
        zero = 2 * (_zero(self._graph.tensors[layers[0].operator.outputs[0]]) + 128) + 1
        channels = sum(layer.made.channels for layer in layers)
        bits = self._bits
        targets = self._targets(layers, made, channels)
        for begin, end, ring, at in targets:
            if ring is not None:
                if any(aways[begin:end]):
                    raise _refuse(layers[0].operator, f"of {channels} channels into a window")
                data = b"".join(records[begin:end])
                self.operations.append(Operation(REMEMBER, (first + begin, zero, ring), data, bits))
                continue
            # Runs of channels that round the same way.
            cut = begin
            while cut < end:
                stop = next((i for i in range(cut, end) if aways[i] != aways[cut]), end)
                data = b"".join(records[cut:stop])
                count = stop - cut
                if not aways[cut] and count % 2:
                    data += format.FACTOR.pack(format.ADDED, 0, 0, 0, 0)
                    count += 1
                numbers = (first + cut, count, zero, at + cut - begin, aways[cut])
                self.operations.append(Operation(SCALE, numbers, data, bits))
                cut = stop

    def _targets(
        self, layers: list[_Layer], made: _Made, channels: int
    ) -> list[tuple[int, int, int | None, int]]:
        """(first channel, the one after the last, ring or None, place in the arena), each."""
        users = made.users
        windows = [user for user in users if isinstance(user, _Window)]
        if not windows:
            at = self._take(-(-channels // 8) * 8)
            for layer in layers:
                self._places[id(layer.made)] = at
            return [(0, channels, None, at)]
        if len(users) != 1:
            raise _refuse(layers[0].operator, "whose result is used twice")
        window = windows[0]
        if any(user.operator.name == "CONV_2D" for user in window.users):
            if len(window.users) != 1:
                raise _refuse("CONCATENATION", "of a window that is used twice")
            at = self._slide(window)
            return [(0, channels, None, at + (window.rows - 1) * channels)]
        ranges: dict[tuple[int, int], int] = {}
        for user in window.users:
            part = user.source
            ranges[part.channels] = max(ranges.get(part.channels, 0), part.rows[1] - part.rows[0])
        targets: list[tuple[int, int, int | None, int]] = []
        end = 0
        for (begin, last), slots in sorted(ranges.items()):
            if begin != end:
                raise _refuse("SPLIT_V", "into parts that overlap or are not used")
            at = self._take(2 * slots * (last - begin))
            self._rings_of[id(window), (begin, last)] = len(self.rings)
            self.rings.append(format.Ring(at, slots, last - begin))
            targets.append((begin, last, len(self.rings) - 1, 0))
            end = last
        if end != channels:
            raise _refuse("SPLIT_V", "into parts that are not used")
        return targets

    def _records(self, layers: list[_Layer], added: list[int]) -> tuple[list[bytes], list[int]]:
        """(record, whether halves are rounded away from zero), of each channel."""
        rows: list[tuple[int, tuple[int, int], int, int, int, bool]] = []
        for layer, times in zip(layers, added, strict=True):
            rows += self._channels(layer, times)
        most = max(max(-low, high) for _, (low, high), *_ in rows)
        # A sum times a part, and what else is added, has to stay below 2**31.
        self._bits = next(n for n in range(15, 0, -1) if (most << n) + most + (1 << (2 * n - 1)) < 1 << 31)
        if self._bits < 8:
            raise _refuse(layers[0].operator, f"with sums of {most.bit_length()} bits")
        records = []
        for add, span, factor, down, zero, away in rows:
            shift = self._bits + down - 1
            if down < 1 or shift > 30:
                raise _refuse(layers[0].operator, f"whose results are 2**{down} times as coarse as its sums")
            found = _record(span, factor, down, zero, away, self._bits)
            if found is None:
                raise _refuse(layers[0].operator, f"with sums of {most.bit_length()} bits and this scale")
            mask = (1 << self._bits) - 1
            parts = [found >> 2 * self._bits, found >> self._bits & mask, found & mask]
            records.append(format.FACTOR.pack(add + format.ADDED, *parts, shift))
        return records, [int(row[5]) for row in rows]

    def _channels(self, layer: _Layer, times: int) -> list[tuple[int, tuple[int, int], int, int, int, bool]]:
        """Of each: what is added to its sum, what the whole then is at least and at most, its factor, by how
        much it is shifted down, its zero, and whether halves are rounded away from zero."""
        operator, tensors = layer.operator, self._graph.tensors
        given, kernel, out = (tensors[i] for i in (*operator.inputs[:2], operator.outputs[0]))
        weights = self._data(layer)
        depthwise = operator.name == "DEPTHWISE_CONV_2D"
        flat = weights[0, :, 0, :].T if depthwise else weights.reshape(len(weights), -1)
        count = len(flat)
        biases = np.zeros(count, np.int64)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            data = tensors[operator.inputs[2]].data
            if data is None or data.size != count or data.dtype != np.dtype("<i4"):
                raise _refuse(operator, "with a bias that is no constant of INT32")
            biases = data.astype(np.int64).ravel()
        if len(kernel.scales) not in (1, count) or not np.all(kernel.scales > 0):
            raise _refuse(operator, f"with {len(kernel.scales)} scales for {count} outputs")
        relu = operator.options.get("FusedActivationFunction", 0) == 1
        below = _zero(given) + 128
        rows = []
        for i in range(count):
            scale = kernel.scales[i % len(kernel.scales)]
            if operator.name == "FULLY_CONNECTED":
                factor = float(np.float32(_scale(given) * scale)) / float(_scale(out))
            else:
                factor = float(_scale(given)) * float(scale) / float(_scale(out))
            bits, down = quantised(factor)
            row = flat[i]
            add = int(biases[i]) - below * int(row.sum())
            span = add + 255 * int(row[row < 0].sum()), add + 255 * int(row[row > 0].sum())
            if not abs(add) < 1 << 23:
                raise _refuse(operator, f"with a bias of {add}")
            add -= times * format.DEPTHWISE_ADDED
            away = not relu and depthwise and i >= count // _VECTOR * _VECTOR
            rows.append((add, span, bits, down, _zero(out) + 128, away))
        return rows


def convert(content: bytes, phrase: str = "", cutoff: float = 0.85, window: int = 5) -> bytes:
    """The glasses' file for a .tflite one. ModelError names what they do not run.

    `cutoff` is the probability, and `window` the steps that it is the mean of, as in the model's manifest.
    """
    graphs = read(content)
    try:
        network = _Reader(graphs).network()
        model = _Writer(network).write(graphs[0])
        made = replace(model, phrase=phrase, cutoff=min(255, max(1, int(cutoff * 255))), window=window)
        return format.write(made)
    except ModelError:
        raise
    except (KeyError, IndexError, ValueError, OverflowError, struct.error) as error:
        raise ModelError(f"the model is damaged, or none for a wake word: {error!r}") from error
