"""What is wrong with a host: coded findings, one function a code (`catalogue`), one page a code (`check/pages`).

A check is given a `Case` and yields findings. It tells what it read (`Finding.evidence`) and what to type
(`Finding.hint`). What it must see and cannot is an inconclusive finding of its code, never silence.
"""

from __future__ import annotations
