"""`python -m captioner` is `captioner`."""

import signal
import sys


def run() -> int:
    """The console script: Ctrl-C ends it without a word until the command begins.

    Before that nothing was done, and there is nobody yet to say so but Python, in thirty lines.
    """
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # and not ignored, as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from captioner import cli

    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, usual)
    return cli.run()


if __name__ == "__main__":
    sys.exit(run())
