"""The chapters of a report's page: what was found, with its evidence; what was compared; the plan; the host's facts."""

from __future__ import annotations

from devproxy.check.finding import Finding, Report, Severity
from devproxy.check.html.markup import Html, anchor, element, join
from devproxy.check.html.tables import code, facts, table
from devproxy.check.text import compared, verdict
from devproxy.host.facts import Host
from devproxy.plan.steps import Skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from devproxy.plan.plan import Plan

_STEPS_AT_MOST: Final = 2000


def verdict_banner(title: str, report: Report, words: str = "") -> Html:
    """How a report ended, in a line, and how many findings of each severity."""
    state = "error" if report.errors else "inconclusive" if report.inconclusive else "ok"
    counts = [(s, sum(finding.severity is s for finding in report.findings)) for s in Severity]
    told = ", ".join(f"{number} {_plural(severity, number)}" for severity, number in counts if number)
    return element(
        "div",
        element("strong", f"{title}: {words or verdict(report)}"),
        element("span", told or "no findings", class_="quiet"),
        class_=f"verdict {state}",
    )


def _plural(severity: Severity, number: int) -> str:
    ends = number != 1 and severity in (Severity.ERROR, Severity.WARNING)
    return f"{severity.value}s" if ends else severity.value


def findings(report: Report) -> Html:
    """Each finding as an article: what was found and expected, where that was read, what to do."""
    if not report.findings:
        return element("p", "Nothing was found to be wrong with what was looked at.")
    return join(_finding(finding) for finding in report.findings)


def _finding(finding: Finding) -> Html:
    heading = element(
        "h3",
        element("span", finding.severity.value, class_=f"badge {finding.severity.value}"),
        " ",
        code(finding.code),
        " ",
        element("span", finding.path),
    )
    pairs = facts(
        (
            ("Found", code(finding.found) if finding.found else None),
            ("Expected", code(finding.expected) if finding.expected else None),
            ("Why", finding.why),
            ("Elsewhere known as", finding.reference),
        )
    )
    evidence = table("Evidence", ("Read from", "Value"), [(code(e.source), code(e.value)) for e in finding.evidence])
    hint = element("p", element("b", "What to do: "), code(finding.hint), class_="hint") if finding.hint else None
    where = anchor("finding", finding.describe())
    return element("article", heading, pairs, evidence, hint, id=where, class_=f"finding {finding.severity.value}")


def scope(report: Report) -> Html:
    """What was looked at, and what is worth knowing that is no difference."""
    notes = [element("li", note) for note in report.notes]
    return join(
        (
            element("p", f"Looked at: {compared(report)}.", class_="quiet"),
            element("ul", join(notes)) if notes else None,
        )
    )


def plan_steps(plan: Plan) -> Html:
    """The plan: every step with its reason; those that are left out say so."""
    rows = [
        (str(number), "left out" if isinstance(step, Skip) else "", code(step.describe()), str(step.reason))
        for number, step in enumerate(plan.steps[:_STEPS_AT_MOST], 1)
    ]
    left = len(plan.steps) - len(rows)
    more = element("p", f"{left} further steps are not shown; `devproxy plan` prints them all.") if left else None
    shown = table(f"The plan: {len(plan.steps)} steps, mode {plan.mode.value}", ("#", "", "Step", "Why"), rows)
    return join((shown, more))


def host_facts(host: Host) -> Html:
    """What the host is, in a few lines, and the tables of what was and was not seen."""
    nvidia = host.nvidia
    details = host.details
    system = details.system if details else None
    summary = facts(
        (
            ("Machine", host.product_name),
            ("Kernel", host.kernel),
            ("NVIDIA driver", nvidia.version if nvidia else ""),
            ("NVML", details.nvml.state.value if details and details.nvml.state.value != "not asked" else ""),
            ("CUDA of the driver", details.nvml.cuda if details else ""),
            ("Control groups", system.cgroups.mode if system and system.cgroups else ""),
            ("Inside a container", ", ".join(sign.kind for sign in system.containers) if system else ""),
        )
    )
    majors = [(str(line.major), code(line.name), line.source) for line in host.character if _interesting(line.name)]
    parts: list[Html] = [summary, table("Majors of accelerator drivers", ("Major", "Driver", "Read from"), majors)]
    if system is not None:
        parts.append(
            table(
                "Kernel modules",
                ("Module", "Version", "State", "In use"),
                [
                    (code(m.name), m.version, m.state, "" if m.uses is None else str(m.uses))
                    for m in system.modules or ()
                ],
            )
        )
        parts.append(
            table(
                "The kernel's log of accelerators",
                ("Seconds", "Kind", "Line"),
                [("" if e.seconds is None else f"{e.seconds:.1f}", e.kind, code(e.text)) for e in system.log or ()],
            )
        )
    parts.append(table("Not seen", ("What", "Why"), [(code(each.path), each.why) for each in host.unseen]))
    return join(parts)


def _interesting(name: str) -> bool:
    return name.startswith(("nvidia", "drm", "infiniband", "accel", "vfio", "kfd", "gdrdrv"))


def contents(titles: Sequence[tuple[str, str]]) -> Html:
    """The page's table of contents: links to its chapters."""
    items = [element("li", element("a", title, href=f"#{name}")) for name, title in titles]
    return element("nav", element("ul", join(items)), aria_label="Contents")
