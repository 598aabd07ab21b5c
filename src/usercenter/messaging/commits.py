"""What our groups write beside each offset that they commit: the moment, so that anyone can ask when that was.

Brokers keep that moment too, but tell it to nobody; the text beside an offset they give back as it is.
"""

from datetime import datetime


def note(moment: datetime) -> str:
    """The text to commit: the moment, in ISO 8601 with its zone, to the millisecond."""
    return moment.isoformat(timespec="milliseconds")


def moment_of(text: str | None) -> datetime | None:
    """The moment that a text tells; None for the texts of other clients, and for none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
