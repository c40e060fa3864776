"""What the guest needs of Python: the interpreter with its library, the distributions that the tests import, this tree."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

TREE: Final = Path(__file__).parent.parent.parent
_NEEDED: Final = ("devproxy", "pytest", "pytest-xdist")
_SOURCES: Final = ("devproxy", "vfs", "hwtests")
# A guest that runs the project's own tests has those and what they import, too.
_NEEDED_BY_TESTS: Final = (*_NEEDED, "hypothesis", "psutil")
_FILES: Final = ("README.md", "pyproject.toml", "tests/__init__.py", "tests/bundles.py")
# Of the standard library, what no test imports: most of its size.
_LEFT_OUT: Final = frozenset(
    ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "site-packages",
     "dist-packages", "distutils")
)  # fmt: skip


def python_files(*, tests: bool = False) -> dict[str, list[str]]:
    """The files to copy, below the directories that the guest shows them at; with `tests`, what those need too."""
    library = sysconfig.get_path("stdlib")
    needed = _NEEDED_BY_TESTS if tests else _NEEDED
    found = {library: list(_walk(library)), str(TREE): list(_tree(tests=tests)), sys.prefix: list(_packages(needed))}
    if not sys.base_prefix.startswith("/usr/") and sys.base_prefix != "/usr":
        base = Path(sys.base_prefix)
        programs = [str(path) for path in (base / "bin").glob("python*")]
        shared = [str(path) for path in (base / "lib").glob("libpython*.so*")]
        # Shown as a whole, with the library in it.
        found = {str(base): [*programs, *shared, *found.pop(library)], **found}
    return found


def _walk(directory: str) -> Iterator[str]:
    for here, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name not in _LEFT_OUT and not name.startswith("config-")]
        for name in [*files, *(name for name in directories if os.path.islink(os.path.join(here, name)))]:
            if ".opt-" not in name and not name.endswith(".a"):
                yield os.path.join(here, name)


def _tree(*, tests: bool) -> Iterator[str]:
    for name in (*_SOURCES, "tests", "example") if tests else _SOURCES:
        yield from _walk(str(TREE / name))
    for name in _FILES:
        yield str(TREE / name)
        yield from _compiled(TREE / name)


def _packages(needed: tuple[str, ...]) -> Iterator[str]:
    """The virtual environment, with nothing but what is needed in it."""
    yield f"{sys.prefix}/pyvenv.cfg"
    for program in Path(sys.prefix, "bin").glob("python*"):
        yield str(program)
    for name in sorted(_closure(needed)):
        for file in metadata.distribution(name).files or ():
            path = Path(os.path.normpath(str(file.locate())))
            # RECORD lists what was compiled too, where pip did that; what was not is compiled by now.
            if path.suffix != ".pyc" and path.exists():
                yield str(path)
                yield from _compiled(path)


def _closure(names: tuple[str, ...]) -> set[str]:
    """These distributions and what they require here."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    pending = list(names)
    for name in pending:
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name.lower())
    return found


def _compiled(path: Path) -> Iterator[str]:
    cached = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
    if path.suffix == ".py" and cached.exists():
        yield str(cached)
