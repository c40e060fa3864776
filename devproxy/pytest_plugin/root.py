"""The built root of a bundle, for a test."""

from __future__ import annotations

import os
from contextlib import contextmanager

import pytest

from devproxy.build import Root, build
from devproxy.errors import DevproxyError, InputError
from devproxy.host.facts import Host
from devproxy.oci.load import load
from devproxy.plan.planner import plan
from devproxy.pytest_plugin import options
from devproxy.pytest_plugin.wish import BundleWish, bundle_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def built(item: pytest.Item, host: Host) -> Iterator[Root]:
    """The root of the bundle that a marker, an option or a setting names, on `host`.

    Fails the test (pytest.fail) where none is named, where the bundle is not one, and where it cannot be built.
    """
    try:
        wish = bundle_of(item) or _configured(item.config)
        made = plan(load(wish.path), host, mode=wish.mode or "auto")
        root = build(made, wish.target or _target(host))
    except DevproxyError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with root:
        yield root


def _configured(config: pytest.Config) -> BundleWish:
    path = options.bundle(config)
    if path is None:
        raise InputError(
            "devproxy_root has no bundle to build",
            hint="name one: @pytest.mark.devproxy_bundle('bundle'), --devproxy-bundle DIR, or devproxy_bundle in the settings",
        )
    return BundleWish(path)


def _target(host: Host) -> str:
    """On the kernel where there are nodes to bind and root to make them: what a recording shows, memory alone can."""
    return "kernel" if not host.simulated and os.geteuid() == 0 else "memory"
