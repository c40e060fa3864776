"""Bug reports read as machines: the output of commands, as people paste it among prose, becomes a host to examine.

`report` reads one. `lines` takes off what surrounds pasted output (quotes, fences, colours, prefixes of logs), `command`
understands what was typed, and `recognisers` lists what is recognised, one small function for each kind of output. What
they find they put into a `Draft`, which becomes a recording, and that is probed like any other.

Nothing of a report is executed, and no line costs more than its length.
"""

from __future__ import annotations
