"""What the doctor looks at around Kafka and PostgreSQL's tables: schema, mail, SMS, cache. Nothing is sent."""

from typing import TYPE_CHECKING, Final

from usercenter.messaging.operations.doctor import Check, fine, unreachable, wrong

if TYPE_CHECKING:
    from usercenter.config import Config

_TIMEOUT_SECONDS: Final = 5.0


def look_at_schema(config: "Config") -> Check:
    """Whether the schema is the one that this code needs. Blocks."""
    import psycopg

    from usercenter import migrations

    try:
        found = migrations.current(config.database.url)
    except psycopg.OperationalError as error:
        return unreachable("schema", " ".join(str(error).split()), "start PostgreSQL, or correct `database.url`")
    if found == migrations.head():
        return fine("schema", found)
    if migrations.is_ahead(found):
        return fine("schema", f"{found}, of a later version; this one needs {migrations.head()} and can use it")
    return wrong("schema", f"{found or 'empty'}, and {migrations.head()} is needed", "usercenter db upgrade")


async def look_at_mail(config: "Config") -> Check:
    """Connect, EHLO, STARTTLS and log in, as for a mail; none is sent."""
    from msgspec.structs import replace

    from usercenter.notify.connections import Connections
    from usercenter.notify.errors import MailDelayed, MailRefused

    mail = config.mail
    name = f"mail by {mail.host}:{mail.port}"
    if not mail.host:
        return wrong("mail", "no mail server is configured", "set `mail.host`")
    patience = min(mail.timeout_seconds, int(_TIMEOUT_SECONDS))
    connections = Connections(replace(mail, timeout_seconds=patience))
    try:
        async with connections.borrow() as client:
            says = client.get_transport_info("peername")[0]
    except (MailDelayed, MailRefused) as error:
        step = "start it, or correct `mail.host`, `mail.port`, `mail.security`, `mail.username` and its password"
        return unreachable(name, str(error), step)
    finally:
        await connections.close()
    secured = "in the clear" if mail.security == "none" else f"with {mail.security}"
    return fine(name, f"answers from {says}, {secured}{', logged in' if mail.username else ''}")


async def look_at_sms(config: "Config") -> Check:
    """Ask the provider for our own account; no message is sent."""
    import httpx

    sms = config.sms
    if not sms.base_url:
        return fine("SMS", "no provider is configured: no text messages are sent")
    name, path = f"SMS by {sms.base_url}", f"/2010-04-01/Accounts/{sms.account_sid}.json"
    auth = httpx.BasicAuth(sms.account_sid, sms.auth_token)
    try:
        async with httpx.AsyncClient(base_url=sms.base_url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            status = (await client.get(path, auth=auth)).status_code
    except httpx.HTTPError as error:
        step = "correct `sms.base_url`, or see whether the provider is up"
        return unreachable(name, str(error) or type(error).__name__, step)
    if status in {401, 403}:
        return wrong(name, f"does not know us: {status}", "correct `sms.account_sid` and `sms.auth_token`")
    if status >= 500:
        return wrong(name, f"answers {status}", "see whether the provider is up")
    return fine(name, f"answers {status}")


async def look_at_cache(config: "Config") -> Check:
    """Ping it."""
    import redis.asyncio as redis
    from redis.exceptions import RedisError

    if not config.cache.url:
        return fine("cache", "none is configured: users are read from PostgreSQL")
    client = redis.from_url(config.cache.url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS)
    try:
        await client.echo("fine")
    except (RedisError, OSError) as error:
        step = "start it, or correct `cache.url`; users are read from PostgreSQL meanwhile"
        return unreachable("cache", str(error), step)
    finally:
        await client.aclose()
    return fine("cache", "answers")
