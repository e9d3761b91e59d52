"""Small pictures of inputs as PNG, written by hand so that a page needs no picture library.

Pure.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray

_GREY, _COLOUR = 0, 2
_N_CHANNELS = (1, 3, 4)
_SMALLEST_SIDE = 4


def is_image(row: NDArray[np.generic]) -> bool:
    """Whether an input looks like a picture: (h, w), (h, w, channels) or (channels, h, w), each side of 4 or more.

    Examples
    --------
    >>> is_image(np.zeros((8, 8))), is_image(np.zeros((3, 32, 32))), is_image(np.zeros(64))
    (True, True, False)
    """
    if row.dtype.kind not in "fiub" or row.ndim not in (2, 3):
        return False
    sides = row.shape if row.ndim == 2 else _channels_last(row).shape[:2]
    return min(sides) >= _SMALLEST_SIDE and (row.ndim == 2 or _channels_last(row).shape[2] in _N_CHANNELS)


def pixels(rows: NDArray[np.generic], max_side: int) -> NDArray[np.uint8]:
    """Pictures (n, ...) as bytes (n, h, w, 1 or 3), averaged over squares until no side is longer than ``max_side``.

    Bytes are taken as they are, values in [0, 1] as brightness; others are stretched from the least to the greatest.
    """
    images = np.stack([_channels_last(row) for row in rows]).astype(np.float64)
    images = images[..., :3] if images.shape[-1] >= 3 else images[..., :1]
    step = -(-max(images.shape[1:3]) // max_side)
    n, h, w, c = images.shape
    high, wide = max(h // step, 1), max(w // step, 1)
    images = images[:, : high * min(step, h), : wide * min(step, w)]
    images = images.reshape(n, high, images.shape[1] // high, wide, images.shape[2] // wide, c).mean(axis=(2, 4))
    if rows.dtype != np.uint8:
        low, top = float(images.min()), float(images.max())
        low, top = (0.0, 1.0) if low >= 0.0 and top <= 1.0 else (low, top)
        images = 255.0 * (images - low) / ((top - low) or 1.0)
    return np.asarray(np.rint(images), np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    r"""A picture (h, w, 1 or 3) as a PNG file.

    Examples
    --------
    >>> png(np.zeros((2, 3, 1), np.uint8))[:8]
    b'\x89PNG\r\n\x1a\n'
    """
    h, w, c = image.shape
    head = struct.pack(">IIBBBBB", w, h, 8, _COLOUR if c == 3 else _GREY, 0, 0, 0)
    # Every line begins with the number of its filter; 0 is none.
    lines = np.concatenate([np.zeros((h, 1), np.uint8), image.reshape(h, w * c)], axis=1)
    body = zlib.compress(lines.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def data_uri(image: NDArray[np.uint8]) -> str:
    """The PNG of a picture as an address that holds it."""
    return f"data:image/png;base64,{b64encode(png(image)).decode('ascii')}"


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _channels_last(row: NDArray[np.generic]) -> NDArray[np.generic]:
    if row.ndim == 2:
        return row[:, :, None]
    first = row.shape[0] in _N_CHANNELS and row.shape[2] not in _N_CHANNELS
    return np.moveaxis(row, 0, 2) if first else row
