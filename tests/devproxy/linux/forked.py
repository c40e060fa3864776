"""Run a function in a forked child, for what a process can only do to itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from devproxy.targets.kernel.failure import from_json, to_json


def in_child(function: Callable[[], Any]) -> Any:
    """What `function` returned in a child, through JSON; what it raised there is raised here."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = {"value": function()}
        except BaseException as error:  # noqa: BLE001 (told to the parent)
            answer = {"error": to_json(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    status = os.waitpid(child, 0)[1]
    assert data, f"the child ended with {status} and said nothing"
    answer = json.loads(data)
    if "error" in answer:
        raise from_json(answer["error"])
    return answer["value"]
