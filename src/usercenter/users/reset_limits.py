"""How often mails about a forgotten password may be asked for.

By each network, whatever accounts it asks about: more is refused, and says nothing about any account. And for each
account, whoever asks: more is answered like everything else, and no mail is sent, so that nobody floods a mailbox.
"""

import hashlib
import hmac
import ipaddress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from usercenter.config.model import Recovery
from usercenter.db import Transaction
from usercenter.users.errors import TooManyRequests

WINDOW: Final = timedelta(hours=1)
_IPV6_NETWORK_BITS: Final = 64


class ResetLimits:
    """Both limits. `key` is secret: it makes hashes of networks that nobody else can compare with addresses."""

    def __init__(self, settings: Recovery, key: bytes) -> None:
        self._settings = settings
        self._key = key

    async def note_request(self, tx: Transaction, *, ip_address: str | None, now: datetime) -> None:
        """Count a request of this address. Does not commit. Raises TooManyRequests, and then counts nothing."""
        network_hash = hmac.new(self._key, network_of(ip_address).encode(), hashlib.sha256).digest()
        await tx.execute(
            "select pg_advisory_xact_lock(hashtext('reset requests'), hashtext(%s))", (network_hash.hex(),)
        )
        most = self._settings.requests_per_network_hour
        rows = await tx.fetch_all(
            "select asked_at from reset_requests where network_hash = %s and asked_at > %s "
            "order by asked_at desc limit %s",
            (network_hash, now - WINDOW, most),
        )
        if len(rows) >= most:
            seconds = int((rows[-1][0] + WINDOW - now).total_seconds()) + 1
            raise TooManyRequests(
                f"your network asked for {most} such mails within an hour: look into the mailbox, or ask again later",
                retry_after_seconds=seconds,
            )
        await tx.execute("insert into reset_requests (network_hash, asked_at) values (%s, %s)", (network_hash, now))

    async def may_mail(self, tx: Transaction, user_id: UUID, *, now: datetime) -> bool:
        """Whether this account, which is locked, may get one more such mail now."""
        row = await tx.fetch_one(
            "select count(*) from one_time_tokens "
            "where user_id = %s and purpose = 'password_reset' and created_at > %s",
            (user_id, now - WINDOW),
        )
        return row is not None and row[0] < self._settings.mails_per_account_hour


def network_of(ip_address: str | None) -> str:
    """What is one sender: an IPv4 address, or the 64 bits of an IPv6 address that a provider gives to one line."""
    try:
        address = ipaddress.ip_address(ip_address or "")
    except ValueError:
        return ip_address or ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_NETWORK_BITS), strict=False))


async def forget_requests(tx: Transaction, *, at_most: int) -> int:
    """Delete the oldest requests that count no more; returns how many. Does not commit."""
    cursor = await tx.execute(
        "delete from reset_requests where id in (select id from reset_requests "
        "where asked_at < now() - %s order by asked_at limit %s)",
        (WINDOW, at_most),
    )
    return cursor.rowcount
