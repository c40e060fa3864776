"""The layers on the host that a plan's overlays need: made before the builder is forked, removed when the root is
gone.
"""

from __future__ import annotations

import errno
import os

from devproxy.carry.overlay import check_directory, no_layer
from devproxy.outcome import Outcomes
from devproxy.overlay import LAYERS, layer_name
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind, MountRoot
from devproxy.targets.kernel.layers import HostLayers


class PlannedLayers:
    """Belongs to the process that has the root: a builder that is killed leaves nothing, and neither does its
    process. `removed` tells what killed ones had left, and is gone or cannot be removed.
    """

    def __init__(self, plan: Plan, sandbox: str) -> None:
        self._layers = HostLayers()
        self._found: dict[int, str] = {}
        self.removed: list[str] = []
        try:
            for index, step in enumerate(plan.steps):
                if isinstance(step, MountRoot | Bind) and step.overlay is not None and step.overlay.on_host:
                    check_directory(step.overlay)
                    self._add(index, step.overlay.directory or step.source, layer_name(sandbox, index))
        except BaseException:
            self.close()
            raise

    def _add(self, index: int, volume: str, name: str) -> None:
        try:
            found = self._found[index] = self._layers.add(volume, name)
            if found:
                self.removed.append(f"{os.path.join(volume, LAYERS)}: {found}")
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isdir(volume):  # as in proc, which says so of every name
                raise no_layer(volume, OSError(errno.EPERM, "nothing can be made there")) from None
            return  # there is no directory that a layer could be in: the step says so, or does without
        except OSError as error:
            raise no_layer(volume, error) from None

    def told(self, outcomes: Outcomes) -> Outcomes:
        """The outcomes, with what was removed for their steps."""
        told = list(outcomes)
        for index, found in self._found.items():
            aside = ", ".join(filter(None, (told[index].aside, found)))
            told[index] = told[index]._replace(aside=aside)
        return Outcomes.of(told)

    def close(self) -> None:
        """Remove the layers. Precondition: the root is gone."""
        self._layers.close()
