"""The garbage collector of a process that lives long and makes many small objects.

As it comes, Python's collector looks after every 700 new objects whether some of them form rings, and now and then at
all that the process has ever imported. Nearly all our objects die without it, and looking took a fifth of the task
runner's time (`make bench MEASURE=tasks`). So it looks more seldom, and never again at what was there at the start.
"""

import gc
from typing import Final

_NEW_OBJECTS: Final = 10_000
"""So many more made than freed, and it looks at the new ones: a few megabytes at most wait for it."""
_LOOKS_AT_OLDER: Final = 10


def look_seldom() -> None:
    """To be called once everything is imported and started. May be called twice."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _LOOKS_AT_OLDER, _LOOKS_AT_OLDER)
