"""The `devproxy` command, also as `python -m devproxy`. It loads little itself: it is what an interrupt meets first."""

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build


def entry() -> None:
    """The installed script: one command, one process.

    While modules load there is nothing to take down, so that an interrupt ends the process as it ends any other. One that is
    ignored (nohup, a shell's background job) stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A short life makes little garbage; collecting it while modules load costs a tenth of the start-up.
    gc.set_threshold(50_000, 20, 20)
    if sys.argv[1:2] != ["run"]:
        from devproxy.cli import main

        main.entry()
        return
    from devproxy import archive

    loaded = archive.load()
    from devproxy.cli import main

    plain = len(sys.argv) == 3  # what more words ask for would be loaded by every run
    main.entry(lambda code: archive.save() if plain and not loaded and code == 0 else None)


if __name__ == "__main__":
    entry()
