"""LightGBM's own library, called through the functions of its C interface (`LightGBM/c_api.h`).

Its Python package takes a second and 100 MB to import, because it brings scikit-learn along, and 70 us to ask for one
score. Deciding needs a few functions of the library, which is in the same package.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from roadworthy.core.batch import Floats

FLOAT64 = 1  # C_API_DTYPE_FLOAT64
NORMAL, CONTRIBUTIONS = 0, 3  # C_API_PREDICT_NORMAL, C_API_PREDICT_CONTRIB
FIRST, ALL = 0, -1  # iterations
NAMES = ("lib_lightgbm.so", "lib_lightgbm.dylib", "lib_lightgbm.dll")


class LibraryError(Exception):
    """The library refused, or is not there."""


class Booster:
    """A booster that was read from LightGBM's text format. Threads may share it. Raises LibraryError."""

    def __init__(self, text: bytes) -> None:
        self._handle, self._single = ctypes.c_void_p(), ctypes.c_void_p()  # first: `__del__` asks for them
        self._library = library()
        self._turn = Lock()
        iterations, features = ctypes.c_int(), ctypes.c_int()
        self._call("LGBM_BoosterLoadModelFromString", text, ctypes.byref(iterations), ctypes.byref(self._handle))
        self._call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(features))
        self._trees, self._features = iterations.value, features.value
        # One row at a time has a function of its own, which works out its parameters once. It is not for two threads.
        self._call("LGBM_BoosterPredictForMatSingleRowFastInit", self._handle, NORMAL, FIRST, ALL, FLOAT64,
                   self._features, b"num_threads=1", ctypes.byref(self._single))  # fmt: skip
        self._row, self._score, self._written = np.empty((1, self._features)), ctypes.c_double(), ctypes.c_int64()
        self._places = ctypes.c_void_p(self._row.ctypes.data), ctypes.byref(self._written), ctypes.byref(self._score)

    def num_trees(self) -> int:
        """How many trees it has."""
        return self._trees

    def num_feature(self) -> int:
        """How many columns it wants."""
        return self._features

    def predict(self, matrix: Floats, threads: int) -> Floats:
        """Scores of shape (rows,) for a matrix of shape (rows, features), by rows in memory."""
        rows = len(matrix)
        if rows == 1:
            return self._one(matrix)
        return self._many(matrix, NORMAL, np.empty(rows, np.float64), threads)

    def contributions(self, matrix: Floats) -> Floats:
        """TreeSHAP of each raw score, shape (rows, features + 1); the last column is the same for all: the base."""
        return self._many(matrix, CONTRIBUTIONS, np.empty((len(matrix), self._features + 1), np.float64), 1)

    def _many(self, matrix: Floats, what: int, out: Floats, threads: int) -> Floats:
        written = ctypes.c_int64()
        self._call("LGBM_BoosterPredictForMat", self._handle, ctypes.c_void_p(matrix.ctypes.data), FLOAT64, len(matrix),
                   self._features, 1, what, FIRST, ALL, b"num_threads=%d" % threads, ctypes.byref(written),
                   ctypes.c_void_p(out.ctypes.data))  # fmt: skip
        return out

    def _one(self, matrix: Floats) -> Floats:
        with self._turn:
            self._row[:] = matrix
            self._call("LGBM_BoosterPredictForMatSingleRowFast", self._single, *self._places)
            return np.array([self._score.value])

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments):
            raise LibraryError(self._library.LGBM_GetLastError().decode(errors="replace"))

    def __del__(self) -> None:
        if self._single.value is not None:
            self._library.LGBM_FastConfigFree(self._single)
        if self._handle.value is not None:
            self._library.LGBM_BoosterFree(self._handle)


@cache
def library() -> ctypes.CDLL:
    """The library of the installed package, which is not imported. Raises LibraryError."""
    spec = importlib.util.find_spec("lightgbm")
    folders = [Path(folder) / "lib" for folder in (spec.submodule_search_locations or ())] if spec else []
    for path in (folder / name for folder in folders for name in NAMES):
        if path.exists():
            found = ctypes.CDLL(str(path))
            found.LGBM_GetLastError.restype = ctypes.c_char_p
            return found
    raise LibraryError("the package lightgbm with its library is not installed")
