"""The details of systems, gathered from their sources."""

from __future__ import annotations

from devproxy.host.details import SystemDetails
from devproxy.host.sources.caller import read_caller
from devproxy.host.sources.cdi_files import read_cdi_files
from devproxy.host.sources.cgroups import read_cgroups
from devproxy.host.sources.clock import read_clock
from devproxy.host.sources.containers import read_containers
from devproxy.host.sources.environment import read_command_line, read_environment, requests_in
from devproxy.host.sources.file_systems import read_file_systems
from devproxy.host.sources.firmware import read_firmware
from devproxy.host.sources.kernel_log import read_kernel_log
from devproxy.host.sources.libraries import read_libraries
from devproxy.host.sources.modules import read_modules
from devproxy.host.sources.runtimes import read_runtimes
from devproxy.host.sources.selinux import read_selinux
from devproxy.host.sources.shared_memory import read_shared_memory
from devproxy.host.sources.sockets import read_sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host
    from devproxy.host.root import HostRoot


def read_system_details(root: HostRoot, host: Host) -> SystemDetails:
    """Modules, libraries, services, the kernel's log, who calls, SELinux, control groups, runtimes, CDI, the environment."""
    environment = read_environment(root)
    runtimes = read_runtimes(root)
    log, log_span = read_kernel_log(root)
    return SystemDetails(
        modules=read_modules(root),
        libraries=read_libraries(root, host),
        firmware=read_firmware(root, host),
        sockets=read_sockets(root),
        log=log,
        caller=read_caller(root),
        selinux=read_selinux(root),
        cgroups=read_cgroups(root, runtimes),
        runtimes=runtimes,
        cdi=read_cdi_files(root, runtimes),
        containers=read_containers(root, host, environment),
        file_systems=read_file_systems(root),
        requests=requests_in(environment),
        environment=environment,
        command_line=read_command_line(root),
        clock=read_clock(root),
        log_span=log_span,
        shared_memory=read_shared_memory(root),
    )
