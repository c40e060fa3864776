"""What a check of the doctor is given, and what it makes of it."""

from __future__ import annotations

from devproxy.check.finding import Evidence, Finding, Severity
from devproxy.host.details import Details
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from devproxy.host.facts import Host
    from devproxy.oci.spec import Spec


class Case(Record):
    """A host, and the bundle that is to run on it, if any. `before_job` makes what would fail a job an error; `layers_in` is the
    directory where the configuration keeps layers of overlays, if it names one.
    """

    host: Host
    spec: Spec | None = None
    before_job: bool = False
    layers_in: str = ""

    @property
    def details(self) -> Details:
        """The deep facts; empty ones where the probe was a plain one."""
        return self.host.details or Details()


class Check(Record):
    """A code of the catalogue: its default severity, one line that says what is wrong, the function that looks, and the
    code that DCGM or the Xid catalogue has for it, where one corresponds.
    """

    code: str
    severity: Severity
    title: str
    run: Callable[[Case], Iterable[Finding]]
    reference: str = ""


def seen(source: str, value: object) -> Evidence:
    """A value and where it was read."""
    return Evidence(source, str(value))


def unknown(code: str, path: str, why: str) -> Finding:
    """What a check of `code` had to see and could not."""
    return Finding(code, Severity.INCONCLUSIVE, path, "to be seen", "not seen", why)
