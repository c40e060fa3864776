"""The fixtures. What they need of devproxy is imported when a test uses them."""

from __future__ import annotations

import pytest

from devproxy.pytest_plugin import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final, NoReturn

    from devproxy.build import Root
    from devproxy.host.facts import Host
    from devproxy.pytest_plugin.leasing import Accelerators, Given

GIVEN: Final[pytest.StashKey[Given]] = pytest.StashKey()
"""What a test was given: for the evidence, should it fail."""


@pytest.fixture
def accelerators(request: pytest.FixtureRequest) -> Iterator[Accelerators]:
    """The accelerators that this test has leased, as @pytest.mark.accelerators says (without it: one, of any kind).

    `devices` are they (name, model, nodes, NUMA node), `environment` what is set for the test and what it starts:
    CUDA_VISIBLE_DEVICES, NVIDIA_VISIBLE_DEVICES or TPU_VISIBLE_CHIPS and their kin. They are given back after the test, also by
    the death of its process.
    """
    from devproxy.pytest_plugin.leasing import leased

    with leased(request.node) as given, pytest.MonkeyPatch.context() as environment:
        for name, value in given.accelerators.environment.items():
            environment.setenv(name, value)
        request.node.stash[GIVEN] = given
        yield given.accelerators


@pytest.fixture(scope="session")
def devproxy_host(pytestconfig: pytest.Config) -> Host:
    """This host as a deep probe sees it (devproxy.probe), or the recording that `--host FILE` names; once a session and worker."""
    from devproxy.errors import DevproxyError
    from devproxy.pytest_plugin.session import session_of

    try:
        return session_of(pytestconfig).host(deep=True)
    except DevproxyError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture
def accelerator_host(accelerators: Accelerators, devproxy_host: Host) -> Host:
    """The host with the leased accelerators and no others: what to plan for."""
    from devproxy.jobs.restrict import restricted

    return restricted(devproxy_host, frozenset(accelerators.names))[0]


@pytest.fixture
def devproxy_root(request: pytest.FixtureRequest) -> Iterator[Root]:
    """The built root of a bundle, with the leased accelerators in it (without a lease: the host's).

    The bundle is that of @pytest.mark.devproxy_bundle, `--devproxy-bundle` or the setting devproxy_bundle. It is built on the kernel
    by root on a live host, else in memory; `listdir`, `stat`, `open` and `readlink` are the same.
    """
    from devproxy.pytest_plugin.root import built

    is_leased = "accelerators" in request.fixturenames or request.node.get_closest_marker("accelerators") is not None
    host: Host = request.getfixturevalue("accelerator_host" if is_leased else "devproxy_host")
    with built(request.node, host) as root:
        yield root


@pytest.fixture(scope="session")
def missing_hardware(pytestconfig: pytest.Config) -> Callable[[str], NoReturn]:
    """A function to call with a reason where the hardware of a test is missing: it skips, or fails under --require-hardware."""
    required = options.requires_hardware(pytestconfig)

    def missing(reason: str) -> NoReturn:
        if required:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return missing
