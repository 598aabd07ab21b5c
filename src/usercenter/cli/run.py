"""`usercenter run`, as the command line and its pages know it."""

from typing import Annotated

from cyclopts import Parameter

from usercenter.bootstrap import ROLES
from usercenter.cli import candidates
from usercenter.cli.serving import serve
from usercenter.cli.settings import ConfigFile


def run(
    *,
    roles: Annotated[
        str, Parameter(completer=candidates.roles, help="Which work this process does: any of api,relay,worker.")
    ] = ",".join(ROLES),
    config: ConfigFile = None,
) -> int:
    """Run the service until Ctrl-C or SIGTERM; then nothing new is begun, and what is in hand is finished."""
    return serve(roles=roles, config=config)
