"""Calling the C library.

``_ctypes`` is the part of ctypes in C. The part in Python, most of which is not needed here, takes longer to
import than half of the sandbox.
"""

from __future__ import annotations

from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_USE_ERRNO,
    RTLD_LOCAL,
    CFuncPtr,
    Structure,
    _SimpleCData,
    byref,
    dlopen,
    dlsym,
    get_errno,
)

__all__ = ("CLibrary", "FilterProgram", "ULong", "byref", "get_errno")

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Integer = _SimpleCData[int]
    _Text = _SimpleCData[bytes]
else:
    _Integer = _Text = _SimpleCData  # has no type parameters at run time


class _Int(_Integer):
    _type_ = "i"


class _Long(_Integer):
    _type_ = "l"


class _UShort(_Integer):
    _type_ = "H"


class _Bytes(_Text):
    _type_ = "z"


class ULong(_Integer):
    """An ``unsigned long``; integers are passed as ``int`` without it."""

    _type_ = "L"


class FilterProgram(Structure):
    """``struct sock_fprog`` (linux/filter.h): the number of instructions, and their bytes."""

    _fields_ = (("length", _UShort), ("instructions", _Bytes))


class _Function(CFuncPtr):
    """A function that returns an ``int``, and sets ``errno``."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Int


class _LongFunction(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Long


class CLibrary:
    """The functions of the C library, as attributes; all return an ``int``, apart from ``syscall``."""

    def __init__(self) -> None:
        self._handle = dlopen(None, RTLD_LOCAL)  # type: ignore[arg-type]  # the program and its libraries
        self.syscall = _LongFunction(dlsym(self._handle, "syscall"))

    def __getattr__(self, name: str) -> CFuncPtr:
        function = _Function(dlsym(self._handle, name))
        setattr(self, name, function)
        return function
