"""Types of NumPy arrays, by what they hold."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
UInts = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]
"""Positions of rows; of shape (draws, n) where rows were drawn again and again."""
