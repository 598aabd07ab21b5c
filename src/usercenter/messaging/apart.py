"""A question to the brokers, asked by a process of its own.

librdkafka may abort the whole process when a connection ends just as an admin client asks for a group (found by the
fault suite with 2.16, as `eonce->refcnt > 0`; reported there as issue 4605). The service must not die of a look, nor a
command without a word. So a child is given the question on stdin, answers on stdout, and dies instead.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TypeVar

import msgspec

Q = TypeVar("Q", bound=msgspec.Struct)
A = TypeVar("A")


class Unanswered(Exception):
    """The process that was to ask the brokers has ended, or said nothing in time; nothing was changed."""


async def asked(module: str, question: msgspec.Struct, answer: type[A], *, timeout_seconds: float) -> A:
    """What the child says, which runs this module with `answering`. Raises Unanswered."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us, who then end the child
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            said, _ = await child.communicate(msgspec.json.encode(question))
        return msgspec.json.decode(said, type=answer)
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_seconds:g} s") from None
    except msgspec.DecodeError:
        raise Unanswered(f"the process that looked ended with {child.returncode}") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def answering(question: type[Q], answer: Callable[[Q], object]) -> None:
    """What the child runs: read the question, answer it, end."""
    with redirect_stdout(sys.stderr):  # what is logged meanwhile
        said = answer(msgspec.json.decode(sys.stdin.buffer.read(), type=question))
    sys.stdout.buffer.write(msgspec.json.encode(said))
