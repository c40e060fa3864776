"""`devproxy bench`: the figures of the budgets, measured side by side."""

from __future__ import annotations

import argparse

from devproxy.cli.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's own arguments."""


def run(args: argparse.Namespace, context: Context) -> int:
    """Measure and print."""
    return 0
