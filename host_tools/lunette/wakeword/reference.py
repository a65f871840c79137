"""What a model gives in TensorFlow Lite's own C runtime: that of `pymicro-wakeword`, by ctypes.

That package is what Home Assistant's satellites run, and brings four models. It is not needed but to compare
with.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from lunette.errors import LunetteError
from lunette.wakeword import packaged

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_POINTER, _INT, _SIZE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "TfLiteModelCreate": (_POINTER, (_POINTER, _SIZE)),
    "TfLiteModelDelete": (None, (_POINTER,)),
    "TfLiteInterpreterCreate": (_POINTER, (_POINTER, _POINTER)),
    "TfLiteInterpreterDelete": (None, (_POINTER,)),
    "TfLiteInterpreterAllocateTensors": (_INT, (_POINTER,)),
    "TfLiteInterpreterInvoke": (_INT, (_POINTER,)),
    "TfLiteInterpreterGetInputTensor": (_POINTER, (_POINTER, _INT)),
    "TfLiteInterpreterGetOutputTensor": (_POINTER, (_POINTER, _INT)),
    "TfLiteTensorByteSize": (_SIZE, (_POINTER,)),
    "TfLiteTensorCopyFromBuffer": (_INT, (_POINTER, _POINTER, _SIZE)),
    "TfLiteTensorCopyToBuffer": (_INT, (_POINTER, _POINTER, _SIZE)),
}


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(packaged.runtime()))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Reference:
    """A model in a new state; a context. LunetteError if the runtime does not take it."""

    def __init__(self, content: bytes):
        self._library = _library()
        self._content = ctypes.create_string_buffer(content, len(content))
        self._model = self._library.TfLiteModelCreate(self._content, len(content))
        self._interpreter = None
        if self._model:
            self._interpreter = self._library.TfLiteInterpreterCreate(self._model, None)
        if not self._interpreter or self._library.TfLiteInterpreterAllocateTensors(self._interpreter):
            self.close()
            raise LunetteError("TensorFlow Lite does not take the model")
        self._input = self._library.TfLiteInterpreterGetInputTensor(self._interpreter, 0)
        self._output = self._library.TfLiteInterpreterGetOutputTensor(self._interpreter, 0)
        self._result = ctypes.create_string_buffer(1)
        if self._library.TfLiteTensorByteSize(self._output) != 1:
            self.close()
            raise LunetteError("the model has more than one result")

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        if self._interpreter:
            self._library.TfLiteInterpreterDelete(self._interpreter)
        if self._model:
            self._library.TfLiteModelDelete(self._model)
        self._interpreter = self._model = None

    def step(self, inputs: bytes) -> int:
        """The probability, of 255 (of 256, as the model's scale has it), after these inputs."""
        library = self._library
        if library.TfLiteTensorCopyFromBuffer(self._input, inputs, len(inputs)):
            raise ValueError(f"{len(inputs)} bytes are not the model's input")
        library.TfLiteInterpreterInvoke(self._interpreter)
        library.TfLiteTensorCopyToBuffer(self._output, self._result, 1)
        return self._result.raw[0]

    def steps(self, inputs: np.ndarray[Any, np.dtype[np.int8]]) -> Bytes:
        """Of rows of inputs, one after the other."""
        return np.array([self.step(row.tobytes()) for row in inputs], np.uint8)
