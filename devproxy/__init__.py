"""devproxy turns an OCI bundle and an accelerator host into a working container root, and proves that it works.

The flow (docs/architecture.md): `probe` gathers frozen facts about a machine, `load` reads a bundle, `plan` joins the
two into ordered steps without looking at anything, `build` carries the steps out on a target (in memory, on the
kernel), `launch` starts a process inside, `verify` compares what is there with what should be.

    >>> import devproxy
    >>> host = devproxy.probe()
    >>> plan = devproxy.plan(devproxy.load("bundle"), host)
    >>> with devproxy.build(plan) as root:
    ...     print(root.listdir("/dev"))

Names are imported when they are first used, so that a command pays only for the rooms it enters.

PYTEST_DONT_REWRITE: pytest would rewrite the asserts of whatever a plugin's distribution has, and warns where that is loaded already.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from devproxy.build import build
    from devproxy.check.doctor.examine import doctor
    from devproxy.check.verify import verify
    from devproxy.errors import DevproxyError, InputError
    from devproxy.host.probe import probe
    from devproxy.host.watch import watch
    from devproxy.jobs.health.examine import check
    from devproxy.launch import launch
    from devproxy.oci.load import load
    from devproxy.plan.planner import plan
    from devproxy.pods.pod import Pod
    from devproxy.timeline import Timeline
else:
    ModuleType = type(sys)

__version__ = "0.1.0"

__all__ = [
    "DevproxyError",
    "InputError",
    "Pod",
    "Timeline",
    "__version__",
    "build",
    "check",
    "doctor",
    "launch",
    "load",
    "plan",
    "probe",
    "verify",
    "watch",
]

_ROOMS = {
    "DevproxyError": "devproxy.errors",
    "InputError": "devproxy.errors",
    "Pod": "devproxy.pods.pod",
    "Timeline": "devproxy.timeline",
    "build": "devproxy.build",
    "check": "devproxy.jobs.health.examine",
    "doctor": "devproxy.check.doctor.examine",
    "launch": "devproxy.launch",
    "load": "devproxy.oci.load",
    "plan": "devproxy.plan.planner",
    "probe": "devproxy.host.probe",
    "verify": "devproxy.check.verify",
    "watch": "devproxy.host.watch",
}


class _Package(ModuleType):
    """This package: `plan`, `build`, `check` and `launch` are functions here, though there are rooms of these names.

    Importing a submodule binds it in its package; for these names the binding is left out, and the function stays in view.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _ROOMS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        """Import a public name from its room on first use."""
        room = _ROOMS.get(name)
        if room is None:
            raise AttributeError(f"module 'devproxy' has no attribute {name!r}")
        __import__(room)
        value: object = getattr(sys.modules[room], name)
        super().__setattr__(name, value)
        return value


sys.modules[__name__].__class__ = _Package
