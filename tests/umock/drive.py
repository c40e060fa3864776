"""Drives a bed in which devices come and go: run by umockdev-wrapper with the system's Python, which has the bindings.

Reads orders from standard input, one a line: `add RECORD` (which makes an event too), `event ACTION SYSPATH`, `remove SYSPATH`,
`hear` (prints the program's next line). Its arguments are the program that is started inside the bed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main() -> None:
    import gi

    gi.require_version("UMockdev", "1.0")
    from gi.repository import UMockdev

    bed: Any = UMockdev.Testbed.new()
    for record in json.loads(sys.stdin.readline()):
        bed.add_from_string(record)
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in sys.stdin:
            order = json.loads(line)
            if order[0] == "add":
                bed.add_from_string(order[1])
            elif order[0] == "remove":
                bed.remove_device(order[1])
            elif order[0] == "event":
                bed.uevent(order[2], order[1])
            elif order[0] == "hear":
                sys.stdout.write(child.stdout.readline())
                sys.stdout.flush()
        child.stdin.close()


if __name__ == "__main__":
    main()
