"""The OpenAPI description and the service say the same: schemathesis asks, for every route, with every check on."""

import asyncio
import os
import sys
from pathlib import Path

from doorway import Doors

HERE = Path(__file__).parent
LONGEST_SECONDS = 900  # on a machine with ten times as much to do; a minute on two free cores


ROLES = {"admin": "examples,coverage,fuzzing,stateful", "auditor": "fuzzing", "user": "fuzzing"}
"""What is tried in each role."""


async def test_what_the_description_says_is_so_for_every_route(doors: Doors, tmp_path: Path):
    """No route and no check is left out, and no failure is expected.

    Requests come from a seed, so each run sends the same ones. Two of schemathesis' checks know less than we do: a
    request that follows the description may be refused where JSON Schema cannot say the rule (a name that is taken, a
    domain that is reserved). So the statuses that it expects are widened in `schemathesis.toml`, and a check of our own
    in `strangers.py` narrows them again: it names each such rule, and no other may refuse. Another
    one sees to it that each route does what it is for at least once, where strangers can make it do so.

    The roles side by side, each at a door and a database of its own: one of them asks while another thinks.
    """
    ends = await asyncio.gather(*(_strangers(doors, role, tmp_path) for role in ROLES))
    assert [said for status, said in ends if status != 0] == []


async def _strangers(doors: Doors, role: str, folder: Path) -> tuple[int | None, str]:
    """A run in this role: its status, and what it said."""
    async with doors() as door:
        environment = {
            "SCHEMATHESIS_HOOKS": "strangers",
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
            "STRANGERS_URL": door.service.url,
            "STRANGERS_ROLE": role,
            "STRANGERS_DATABASE_URL": door.config.database.url,
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import schemathesis.cli; schemathesis.cli.schemathesis()",
            "--config-file", str(HERE / "schemathesis.toml"), "run", f"{door.service.url}/openapi.json",
            "--seed", "1", "--max-examples", "3", "--phases", ROLES[role], "--no-color", "--continue-on-failure",
            env=os.environ | environment, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(child.communicate(), LONGEST_SECONDS)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return child.returncode, said.decode()
