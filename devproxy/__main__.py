"""`python -m devproxy` is the `devproxy` command."""

from devproxy.cli.main import entry

entry()
