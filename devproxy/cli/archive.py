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
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType, ModuleType
    from typing import Final, TypeAlias

    # A module: its name, its source and whether that is a package's, the time (ns) and size of the source, its code.
    Entry: TypeAlias = tuple[str, str, bool, int, int, CodeType]
else:
    # Those of this very module: importing importlib for them would cost a part of what is saved.
    ModuleSpec, SourceFileLoader, ModuleType = type(__spec__), type(__spec__.loader), type(sys)

_HOME: "Final" = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PATH: "Final" = os.path.join(_HOME, "__pycache__", f"run.{sys.implementation.cache_tag}.modules")
_MADE_BY: "Final" = (1, sys.version, _HOME)
_LIBRARY: "Final" = os.path.dirname(getattr(os, "__file__", ""))  # an interpreter without files has none
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
    for entry in entries:
        name = entry[0]
        parent = name.rpartition(".")[0]
        if name not in sys.modules and (not parent or parent in sys.modules):
            _make(entry)
    return True


def _is_fresh(entry: "Entry") -> bool:
    found = os.stat(entry[1])
    return (found.st_mtime_ns, found.st_size) == entry[3:5]


def _make(entry: "Entry") -> None:
    """As importlib.util.module_from_spec and exec_module do."""
    name, source, is_package, _, _, code = entry
    loader = SourceFileLoader(name, source)
    spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
    spec.has_location = True
    module = ModuleType(name)
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(os.path.dirname(source))
        module.__path__ = spec.submodule_search_locations
    module.__spec__, module.__loader__, module.__package__, module.__file__ = spec, loader, spec.parent, source
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 (bytecode of our own modules, as trusted as their .pyc)
    except BaseException:
        del sys.modules[name]
        raise
    parent, _, tail = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], tail, module)


def save() -> None:
    """Write the modules that are loaded now. What cannot be written is no matter: the next run does without."""
    if sys.dont_write_bytecode or sys.pycache_prefix is not None:
        return
    part = f"{_PATH}.{os.getpid()}"
    try:
        entries = [entry for name in _in_order() if (entry := _entry(name)) is not None]
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


def _in_order() -> list[str]:
    """Modules behind their packages and behind those that they import, as far as their code tells: names of modules are among its
    names. A package that imports its own modules comes before them, and finds them as ever.
    """
    pending = {name: None for name in sys.modules if name not in _FIRST and _is_ours(name)}
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name not in pending:
            return
        del pending[name]
        visit(name.rpartition(".")[0])
        for used in _names_in(name):
            if not used.startswith(f"{name}."):
                visit(used)
        ordered.append(name)

    while pending:
        visit(next(iter(pending)))
    return ordered


def _is_ours(name: str) -> bool:
    """Whether a module is devproxy's, or the library's own: another of that name may lie where others can write."""
    spec = getattr(sys.modules[name], "__spec__", None)
    place = os.path.dirname(spec.origin) if spec is not None and spec.origin is not None else ""
    return name.startswith("devproxy.") or place == _LIBRARY


def _names_in(name: str) -> list[str]:
    """What may be modules among the names in a module's code: `a.b` of `import a.b`, and `a.b.c` of `from a.b import c`."""
    spec = sys.modules[name].__spec__
    code = spec.loader.get_code(name) if spec is not None and isinstance(spec.loader, SourceFileLoader) else None
    names = () if code is None else code.co_names
    rooms = [used for used in names if used.startswith("devproxy.")]
    return [*names, *(f"{room}.{tail}" for room in rooms for tail in names)]
