"""The `devproxy` command, also as `python -m devproxy`. It loads little itself: it is what an interrupt meets first."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build


def entry() -> None:
    """The console script: one command, one process.

    While modules load there is nothing to take down, so that an interrupt ends the process as it ends any other. One that is
    ignored (nohup, a shell's background job) stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from devproxy.cli import main

    main.entry()


if __name__ == "__main__":
    entry()
