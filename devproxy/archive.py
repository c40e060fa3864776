"""The modules of `devproxy run` in one file: to find a hundred files and read them one by one takes longer than to run them.

The file lies beside the bytecode and is as good as that: made by the first run that finds none, where Python may write bytecode at
all; used by the interpreter that made it, while every source has the size and the time that it had. What comes out are modules as
the import system makes them; a module that is not in it, or comes too late in it, is imported as ever. Beside devproxy's own modules it
has those of the standard library that a run loads from a file, found in the library's directory and nowhere else.

Annotations are quoted here: __future__ is one of the modules in the file.
"""

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType, ModuleType
    from typing import Final, TypeAlias

    # A module: its name, its source and whether that is a package's, the time (ns) and size of the source, its code.
    Entry: TypeAlias = tuple[str, str, bool, int, int, CodeType]
else:
    # Those of this very module: importing importlib for them would cost a part of what is saved.
    ModuleSpec, SourceFileLoader, ModuleType = type(__spec__), type(__spec__.loader), type(sys)

_HOME: "Final" = os.path.dirname(os.path.abspath(__file__))
_PATH: "Final" = os.path.join(_HOME, "__pycache__", f"run.{sys.implementation.cache_tag}.modules")
_MADE_BY: "Final" = (3, sys.version, _HOME)
_LIBRARY: "Final" = os.path.dirname(getattr(os, "__file__", ""))  # an interpreter without files has none
# The sources of a deep probe.
_DEEP: "Final" = "devproxy.host.sources"
# Loaded before there is a choice.
_FIRST: "Final" = frozenset(sys.modules)


def load() -> bool:
    """Load the modules of the file into sys.modules. False where there is no file that is right."""
    try:
        with open(_PATH, "rb") as file:
            made_by, entries = marshal.loads(file.read())  # noqa: S302 (as trusted as a .pyc)
        if made_by != _MADE_BY or not all(map(_is_fresh, entries)):
            return False
    except (OSError, ValueError, TypeError, EOFError):
        return False
    _make_all(entries)
    return True


def _is_fresh(entry: "Entry") -> bool:
    found = os.stat(entry[1])
    return (found.st_mtime_ns, found.st_size) == entry[3:5]


def _make_all(entries: "Sequence[Entry]") -> None:
    """A package that imports modules of its own comes behind them, and is there meanwhile, begun: as with the import system."""
    packages = {entry[0]: entry for entry in entries if entry[2]}
    begun: dict[str, ModuleType] = {}
    try:
        for entry in entries:
            name = entry[0]
            parent, _, tail = name.rpartition(".")
            package = parent
            while package in packages and package not in sys.modules:
                begun[package] = _make(packages[package])
                package = package.rpartition(".")[0]
            if name not in sys.modules and (not parent or parent in sys.modules):
                begun[name] = _make(entry)
            if name in begun:
                exec(entry[5], begun[name].__dict__)  # noqa: S102 (bytecode, as trusted as a .pyc)
                if parent:
                    setattr(sys.modules[parent], tail, begun[name])
                del begun[name]
    except BaseException:
        for name in begun:
            del sys.modules[name]
        raise


def _make(entry: "Entry") -> ModuleType:
    """As importlib.util.module_from_spec does."""
    name, source, is_package, _, _, _ = entry
    loader = SourceFileLoader(name, source)
    spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
    spec.has_location = True
    module = ModuleType(name)
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(os.path.dirname(source))
        module.__path__ = spec.submodule_search_locations
    module.__spec__, module.__loader__, module.__package__, module.__file__ = spec, loader, spec.parent, source
    sys.modules[name] = module
    return module


def save() -> None:
    """Write the modules that are loaded now. What cannot be written is no matter: the next run does without. So it does behind a run
    that looked deeper than others, which would load what that took.

    They come in the order of sys.modules, to whose end the import system moves a module once it is done: behind all that it imports.
    """
    if sys.dont_write_bytecode or sys.pycache_prefix is not None or _DEEP in sys.modules:
        return
    part = f"{_PATH}.{os.getpid()}"
    try:
        names = [name for name in sys.modules if name not in _FIRST and _is_ours(name)]
        entries = [entry for name in names if (entry := _entry(name)) is not None]
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644), "wb") as file:
            file.write(marshal.dumps((_MADE_BY, entries)))
        os.replace(part, _PATH)
    except (OSError, ImportError):  # ImportError: a source that is gone, or lies in a zip file
        _remove(part)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _entry(name: str) -> "Entry | None":
    spec = sys.modules[name].__spec__
    loader = None if spec is None else spec.loader
    if spec is None or spec.origin is None or not isinstance(loader, SourceFileLoader):
        return None
    found = os.stat(spec.origin)  # before the code is read: what changes in between is seen by the next run
    code = loader.get_code(name)
    is_package = spec.submodule_search_locations is not None
    return None if code is None else (name, spec.origin, is_package, found.st_mtime_ns, found.st_size, code)


def _is_ours(name: str) -> bool:
    """Whether a module is devproxy's, or the library's own: another of that name may lie where others can write."""
    spec = getattr(sys.modules[name], "__spec__", None)
    place = os.path.dirname(spec.origin) if spec is not None and spec.origin is not None else ""
    return name.startswith("devproxy.") or place == _LIBRARY
