"""`usercenter completion`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from usercenter.cli.terminal import show


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")], /) -> None:
    """Print the script that makes a shell complete the commands and options of `usercenter`; installs nothing.

    zsh: a file named `_usercenter` in a folder of `$fpath`; fish: `~/.config/fish/completions/usercenter.fish`.
    """
    from usercenter.cli.commands import app

    show(app.generate_completion(shell=shell))
