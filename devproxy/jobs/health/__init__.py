"""Health before and after a hardware job: how the hardware is, whether it is what was expected, what became of it since a
recording that was made before, and what the job left behind. Coded findings, as the doctor's, with a page each.

Everything here is pure: hosts in, a report out.
"""

from __future__ import annotations

from devproxy.jobs.health.examine import check

__all__ = ["check"]
