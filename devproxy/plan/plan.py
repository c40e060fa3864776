"""A plan: the steps that turn a bundle and a host into a container root, and what its process needs to know."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.host.facts import Host
from devproxy.oci.configuration import Configuration
from devproxy.oci.hints import NO_HINTS, Hints
from devproxy.oci.spec import Namespace, Process, Spec
from devproxy.plan.steps import Step
from devproxy.record import Record


class Mode(Choice):
    """Who says which accelerators the container gets (docs/architecture.md, "Modes")."""

    NONE = "none"
    DOCKER = "docker"
    SPEC = "spec"


class Asked(Record):
    """What a plan was made of, besides its host: it is made anew for a pod that others have begun."""

    spec: Spec
    mode: str
    config: Configuration


class Plan(Record):
    """An immutable value: the same spec, host, mode and configuration give an equal plan.

    `mode` is what `auto` came to. `strict` makes a warning an error, when planning as when building. `host_fifo` lets
    fifos of binds be opened in memory; on the kernel they can be. `character_devices` says who answers in memory for a
    character device of a bind: emulated-only, prefer-emulated or passthrough; on the kernel it is the machine. `hints` are the mount hints that count, the bundle's own or
    those of its pod.
    """

    bundle: str
    mode: Mode
    steps: tuple[Step, ...]
    host: Host
    process: Process | None
    namespaces: tuple[Namespace, ...]
    hostname: str
    domainname: str
    strict: bool
    host_fifo: bool = False
    character_devices: str = "emulated-only"
    hints: Hints = NO_HINTS
    asked: Asked | None = None
