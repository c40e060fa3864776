"""Cleaning after a job, and after that job alone.

`clean` is asked with the lease's scope, and answers what it found, what it removed, and what is left and why. Each module knows one kind
of dirt; `proof` says which processes are the lease's, `survey` which files.
"""

from __future__ import annotations
