"""The command `usercenter`. Each command lives in its own module and is imported only when it is used."""

import sys
from collections.abc import Sequence
from typing import Final

from usercenter import __version__

FINE: Final = 0
CHECK_FAILED: Final = 1
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3


def main() -> None:
    """Run the command of this process's arguments and exit with its status."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(__version__)  # noqa: T201  # before anything slow is imported
        sys.exit(FINE)
    from usercenter.cli.failures import explained

    with explained():
        if arguments[:1] == ["kafka"] and len(arguments) > 1 and not arguments[1].startswith("-"):
            from usercenter.cli.kafka import kafka

            sys.exit(kafka(arguments[1], *arguments[2:]))  # everything behind the tool's name is the tool's own
        if arguments[:1] == ["run"]:
            _serve_if_plain(arguments[1:])
        from usercenter.cli.commands import app
        from usercenter.cli.tree import expect_command

        expect_command(app, arguments)
        sys.exit(app(arguments, exit_on_error=True, result_action="return_value") or FINE)


def _serve_if_plain(words: Sequence[str]) -> None:
    """Be the service until it ends, if that is plainly what is asked for."""
    from usercenter.cli.lean import importing_little, options_of

    if (options := options_of(words)) is not None:
        with importing_little():
            from usercenter.cli.serving import serve
        sys.exit(serve(**options))
