"""`usercenter config`."""

from usercenter.cli.loading import loaded
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import plain, show


def check(*, json: Json = False, config: ConfigFile = None) -> None:
    """Print every setting that is in force, and where it comes from; secrets are masked."""
    from usercenter.config import explain

    found = loaded(config)
    if json:
        show(explain.to_json(found))
        return
    rows = explain.rows(found)
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("key", "value")]
    for row in rows:
        show(plain(f"{row.key:<{widths[0]}}  {row.value:<{min(widths[1], 60)}}  {row.source}"))
