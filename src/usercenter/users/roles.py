"""Roles, and that there is always somebody left who can give them."""

from uuid import UUID

from usercenter.clock import Clock
from usercenter.db import Transaction
from usercenter.events import Origin
from usercenter.users import queries, service
from usercenter.users.errors import LastAdmin
from usercenter.users.model import Role, Status, User


async def change_role(
    tx: Transaction,
    user_id: UUID,
    role: Role,
    *,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> User:
    """Give the user another role, from the next request on, and tell the world (`user.updated`).

    Does not commit. Raises UserNotFound, VersionConflict, LastAdmin.
    """
    if role != "admin":
        await require_another_admin(tx, user_id)
    return await service.update(
        tx, user_id, {"role": role}, origin=origin, clock=clock, expected_sequence=expected_sequence
    )


async def change_status(
    tx: Transaction,
    user_id: UUID,
    status: Status,
    *,
    reason: str | None,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> User:
    """As `service.change_status`, but not away from the last admin. Raises LastAdmin too."""
    if status != "active":
        await require_another_admin(tx, user_id)
    return await service.change_status(
        tx, user_id, status=status, reason=reason, origin=origin, clock=clock, expected_sequence=expected_sequence
    )


async def delete(
    tx: Transaction,
    user_id: UUID,
    *,
    deleted_by: str,
    origin: Origin,
    clock: Clock,
    expected_sequence: int | None = None,
) -> None:
    """As `service.delete`, but not the last admin. Raises LastAdmin too."""
    await require_another_admin(tx, user_id)
    await service.delete(
        tx, user_id, deleted_by=deleted_by, origin=origin, clock=clock, expected_sequence=expected_sequence
    )


async def require_another_admin(tx: Transaction, user_id: UUID) -> None:
    """Refuse what would leave nobody to administrate: call it before this user is demoted, suspended or deleted.

    Locks the user, who does not become an admin meanwhile. Whoever does such a thing to an admin waits here for the
    others who do. Raises LastAdmin.
    """
    user = await queries.lock(tx, user_id)
    if user is None or user.role != "admin" or not user.is_active:
        return
    await tx.execute("select pg_advisory_xact_lock(hashtext('usercenter admins'))")
    others = "select 1 from users where id <> %s and role = 'admin' and status = 'active' limit 1"
    if await tx.fetch_one(others, (user_id,)) is None:
        raise LastAdmin("this is the last active administrator: make another user one before")
