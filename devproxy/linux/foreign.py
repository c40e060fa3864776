"""The part of ctypes that is used here, made of the part of that which is written in C (the module _ctypes).

To import ctypes defines two dozen types, most of them twice (again with the other order of bytes), and takes as long as a sixth of the
modules of `devproxy run`. What is here is what ctypes has under these names, and mixes with it: whoever needs more imports that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import (
        CDLL,
        Array,
        c_char,
        c_char_p,
        c_int,
        c_long,
        c_longlong,
        c_void_p,
        create_string_buffer,
        get_errno,
    )
else:
    from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, RTLD_LOCAL, Array, CFuncPtr, _SimpleCData, dlopen, get_errno

    def _simple(name: str, letter: str) -> type[_SimpleCData]:
        """A type by its letter: one of those of the module struct, z (a string that a NUL ends) or P (a pointer)."""
        return type(_SimpleCData)(name, (_SimpleCData,), {"_type_": letter, "__module__": __name__})

    c_char = _simple("c_char", "c")
    c_int = _simple("c_int", "i")
    c_long = _simple("c_long", "l")
    c_longlong = _simple("c_longlong", "q")
    c_char_p = _simple("c_char_p", "z")
    c_void_p = _simple("c_void_p", "P")

    class _Function(CFuncPtr):
        """A function that returns an int and keeps errno for `get_errno`, until its prototype says more."""

        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
        _restype_ = c_int

    class CDLL:
        """A library (dlopen(3)); None is everything that this process has loaded already. Its functions are its attributes, each made
        once, and its items, each made anew. Errors: AttributeError for one that it lacks.
        """

        def __init__(self, name: str | None, *, use_errno: bool) -> None:
            assert use_errno
            self._handle = dlopen(name, RTLD_LOCAL)

        def __getitem__(self, name: str) -> _Function:
            return _Function((name, self))

        def __getattr__(self, name: str) -> _Function:
            made = self[name]
            setattr(self, name, made)
            return made

    def create_string_buffer(size: int) -> Array[c_char]:
        """So many bytes, all zero."""
        return (c_char * size)()


__all__ = [
    "CDLL",
    "Array",
    "c_char",
    "c_char_p",
    "c_int",
    "c_long",
    "c_longlong",
    "c_void_p",
    "create_string_buffer",
    "get_errno",
]
