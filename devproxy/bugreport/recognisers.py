"""Everything that is recognised in a report, in the order in which a line is offered: what is plainest first.

A recogniser is given all lines and the place where reading is; it says how many lines it took, 0 for none, and puts what
they say into the draft. It looks at each line a bounded number of times, and never back over many.
"""

from __future__ import annotations

from devproxy.bugreport.cdi import take_cdi
from devproxy.bugreport.context import take_command, take_title
from devproxy.bugreport.listing import take_heading, take_listing, take_missing, take_names, take_stat
from devproxy.bugreport.log import take_log
from devproxy.bugreport.messages import take_message
from devproxy.bugreport.pci import take_lspci, take_triple, take_unbound
from devproxy.bugreport.proc import (
    take_capability,
    take_information,
    take_majors,
    take_minors,
    take_params,
    take_path,
    take_version,
)
from devproxy.bugreport.smi import take_nvml_failure, take_smi
from devproxy.bugreport.system import (
    take_environment,
    take_id,
    take_limits,
    take_lsmod,
    take_modinfo,
    take_rules,
    take_selinux,
    take_uname,
)
from devproxy.bugreport.tools import take_cli_info, take_cli_log, take_config, take_csv, take_ctk_log, take_daemon_json
from devproxy.bugreport.tpu import take_tpu_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from devproxy.bugreport.draft import Draft
    from devproxy.bugreport.lines import Line

RECOGNISERS: Final[tuple[Callable[[list[Line], int, Draft], int], ...]] = (
    take_title,
    take_listing,
    take_heading,
    take_missing,
    take_names,
    take_stat,
    take_rules,
    take_majors,
    take_version,
    take_path,
    take_capability,
    take_params,
    take_cli_info,
    take_information,
    take_minors,
    take_lspci,
    take_triple,
    take_unbound,
    take_tpu_info,
    take_selinux,
    take_log,
    take_cli_log,
    take_ctk_log,
    take_smi,
    take_nvml_failure,
    take_lsmod,
    take_modinfo,
    take_uname,
    take_id,
    take_limits,
    take_cdi,
    take_daemon_json,
    take_config,
    take_csv,
    take_environment,
    take_message,
    take_command,
)
