"""The file of modules that `devproxy run` starts from: made by a run, used by the next, never when it is not right."""

from __future__ import annotations
import __future__

import json
import marshal
import os
import shutil
import sys
from pathlib import Path

import pytest

import devproxy
from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle

pytestmark = pytest.mark.root

# Prints whether the file was used, and what every module of a run knows of itself.
LOOK = """
import json, sys
from devproxy import archive
class Recorder:
    found = []
    def find_spec(self, name, path=None, target=None):
        self.found.append(name)
sys.meta_path.insert(0, Recorder())
used = archive.load()
found = Recorder.found[:]
ours = [n for n in sys.modules if n.startswith("devproxy") or n == "__future__"]
names = json.load(open(sys.argv[1])) if len(sys.argv) > 1 else sorted(ours)
for name in names:
    __import__(name)
def about(name):
    module, spec = sys.modules[name], sys.modules[name].__spec__
    parent, _, tail = name.rpartition(".")
    bound = not parent or getattr(sys.modules[parent], tail) is module
    return [
        module.__name__, module.__file__, module.__package__, list(getattr(module, "__path__", ())), module.__doc__, bound,
        spec.name, spec.origin, spec.parent, spec.has_location, spec.cached, list(spec.submodule_search_locations or ()),
        type(module.__loader__).__name__, module.__loader__ is spec.loader, sorted(vars(module).keys() - {"__cached__"}),
    ]
print(json.dumps({"used": used, "found": found, "modules": {name: about(name) for name in names}}))
"""


class Copy:
    """A copy of the package, to be changed."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        source = os.path.dirname(os.path.abspath(devproxy.__file__))
        shutil.copytree(source, self.home / "devproxy", ignore=shutil.ignore_patterns("__pycache__"))
        self.bundle = write_bundle(directory / "b", runc_spec_like(process={"args": ["true"]}))
        self.environment = {**os.environ, "PYTHONPATH": str(self.home)}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    @property
    def file(self) -> Path:
        return self.home / "devproxy" / "__pycache__" / f"run.{sys.implementation.cache_tag}.modules"

    def run(self, *words: str, **environment: str) -> None:
        command = [sys.executable, "-m", "devproxy", "run", self.bundle, *words]
        run(command, env={**self.environment, **environment}, cwd=str(self.home))

    def names(self) -> set[str]:
        """What is in the file."""
        _, entries = marshal.loads(self.file.read_bytes())
        return {entry[0] for entry in entries}

    def look(self, *words: str) -> dict[str, object]:
        told: dict[str, object] = json.loads(
            run([sys.executable, "-c", LOOK, *words], env=self.environment, cwd=str(self.home)).out
        )
        return told


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_run_makes_it_and_its_modules_are_those_of_the_import_system(copy: Copy, tmp_path: Path) -> None:
    assert not copy.file.exists()
    copy.run()
    assert copy.file.exists()
    assert [path.name for path in copy.file.parent.glob("run.*")] == [copy.file.name]
    quick = copy.look()
    assert quick["used"] is True
    modules = quick["modules"]
    assert isinstance(modules, dict)
    assert {
        "__future__",
        "devproxy.build",
        "devproxy.launch.launcher",
        "devproxy.targets.kernel.builder",
    } <= modules.keys()
    looked_for = quick["found"]
    assert isinstance(looked_for, list)
    assert [name for name in looked_for if name.startswith("devproxy")] == []
    names = tmp_path / "names.json"
    names.write_text(json.dumps(list(modules)))
    copy.file.unlink()
    slow = copy.look(str(names))
    assert slow["used"] is False
    assert slow["modules"] == modules


def test_a_source_that_changed_makes_it_useless_until_the_next_run(copy: Copy) -> None:
    copy.run()
    before = copy.file.stat().st_mtime_ns
    copy.run()
    assert copy.file.stat().st_mtime_ns == before
    with open(copy.home / "devproxy" / "node.py", "a", encoding="utf-8") as file:
        file.write("CHANGED = True\n")
    assert copy.look()["used"] is False
    copy.run()
    told = copy.look()
    assert told["used"] is True
    assert "CHANGED" in str(told["modules"])


@pytest.mark.parametrize("content", [b"", b"nonsense", b"i\x01\x00\x00\x00", None])
def test_a_broken_one_is_made_anew(copy: Copy, content: bytes | None) -> None:
    copy.run()
    whole = copy.file.read_bytes()
    copy.file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert copy.look()["used"] is False
    copy.run()
    assert copy.look()["used"] is True


def test_it_is_not_made_where_nothing_may_be_written_or_more_was_asked_for(copy: Copy) -> None:
    copy.run(PYTHONDONTWRITEBYTECODE="1")
    copy.run(PYTHONPYCACHEPREFIX=str(copy.home / "elsewhere"))
    copy.run("--timings")
    assert not copy.file.exists()


def test_it_is_not_made_behind_a_run_that_asked_nvml(copy: Copy) -> None:
    """What that took is no part of what other runs need. That a UUID names nothing here is found before: the run is imitated."""
    program = "import devproxy.cli.run, devproxy.host.ask_nvml; from devproxy import archive; archive.save()"
    run([sys.executable, "-c", program], env=copy.environment, cwd=str(copy.home))
    assert not copy.file.exists()
    run(
        [sys.executable, "-c", program.replace(", devproxy.host.ask_nvml", "")],
        env=copy.environment,
        cwd=str(copy.home),
    )
    assert copy.file.exists()


def test_of_other_modules_only_the_librarys_own_are_in_it(copy: Copy) -> None:
    copy.run()
    library = os.path.dirname(os.__file__)
    others = {name for name in copy.names() if not name.startswith("devproxy.")}
    assert "__future__" in others
    assert {os.path.dirname(str(__import__(name).__file__)) for name in others} == {library}
    assert "os" not in others  # the interpreter starts with it


def test_a_module_in_the_place_of_the_librarys_is_not_in_it(copy: Copy) -> None:
    """It came from a path that this run was given, and the next one may not be."""
    shutil.copy(__future__.__file__, copy.home / "__future__.py")
    copy.run()
    assert copy.file.exists()
    assert "__future__" not in copy.names()
    told = copy.look()
    assert told["used"] is True
    assert str(copy.home / "__future__.py") in str(told["modules"])
