"""`usercenter config`."""

from usercenter.cli.settings import ConfigFile, loaded


def check(*, json: bool = False, config: ConfigFile = None) -> None:
    """Print every setting that is in force, and where it comes from; secrets are masked.

    Example: USERCENTER_SERVER__PORT=9000 usercenter config check

    Parameters
    ----------
    json: Print JSON.
    """
    from usercenter.config import explain

    found = loaded(config)
    if json:
        print(explain.to_json(found))  # noqa: T201
        return
    rows = explain.rows(found)
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("key", "value")]
    for row in rows:
        print(f"{row.key:<{widths[0]}}  {row.value:<{min(widths[1], 60)}}  {row.source}")  # noqa: T201
