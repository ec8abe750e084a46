"""SHA-256 whose state can be put away, for a file that takes longer to digest than one invocation may last.

`hashlib` keeps its state to itself, so this calls the functions of the OpenSSL library that `hashlib` is built on; its
state is a plain structure without pointers. Where an interpreter does not show them, a file is digested in one go.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache


class _State(ctypes.Structure):
    """`SHA256_CTX` of OpenSSL's `sha.h`, unchanged since 0.9.8."""

    _fields_ = (
        ("h", ctypes.c_uint32 * 8),
        ("low", ctypes.c_uint32),
        ("high", ctypes.c_uint32),
        ("data", ctypes.c_uint32 * 16),
        ("num", ctypes.c_uint),
        ("length", ctypes.c_uint),
    )


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    try:
        import _hashlib  # noqa: PLC0415 (absent where Python is built without OpenSSL)

        library = ctypes.CDLL(_hashlib.__file__)
        library.SHA256_Init.argtypes = [ctypes.POINTER(_State)]
        library.SHA256_Update.argtypes = [ctypes.POINTER(_State), ctypes.c_void_p, ctypes.c_size_t]
        library.SHA256_Final.argtypes = [ctypes.c_void_p, ctypes.POINTER(_State)]
    except (ImportError, OSError, AttributeError):
        return None
    return library


def available() -> bool:
    """Tell whether this interpreter can put a state away."""
    return _library() is not None


class ResumableSha256:
    """Like `hashlib.sha256()`, with `state`."""

    def __init__(self, state: bytes | None = None) -> None:
        library = _library()
        if library is None:
            raise RuntimeError("this interpreter's OpenSSL does not show its SHA-256 functions")
        self._library = library
        self._state = _State()
        if state is None:
            library.SHA256_Init(self._state)
        else:
            ctypes.memmove(ctypes.byref(self._state), state, ctypes.sizeof(self._state))

    @property
    def state(self) -> bytes:
        return bytes(self._state)

    def update(self, block: bytes | memoryview) -> None:
        # A writable buffer is passed where it lies; the foreign call releases the interpreter's lock.
        view = memoryview(block)
        size = view.nbytes
        data = bytes(view) if view.readonly else (ctypes.c_char * size).from_buffer(view)
        self._library.SHA256_Update(self._state, data, size)

    def digest(self) -> bytes:
        copy, out = _State.from_buffer_copy(self._state), ctypes.create_string_buffer(32)
        self._library.SHA256_Final(out, copy)
        return out.raw
