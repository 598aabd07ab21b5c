"""`/api/v1/users/me/settings`: language, time zone, and what may be told when and how."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

import msgspec
from litestar import Controller, get, patch, put
from litestar.params import JSONBody
from msgspec import UNSET, UnsetType

from usercenter.api.access import caller
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.origin import origin_of
from usercenter.api.problems import errors
from usercenter.api.reading import Body, Request, require_json
from usercenter.api.services import Services
from usercenter.config.model import Accounts
from usercenter.users import service, settings
from usercenter.users.errors import Problem
from usercenter.users.settings import UserSettings

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
_TIME: Final = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
_CHOICE: Final = {"type": "boolean"}
_QUIET_HOURS: Final = {  # plain JSON, for the framework forgets the spelling of what stands this deep
    "type": ["object", "null"],
    "description": "From when to when, in the user's own time, not the same; the end may be on the next day.",
    "properties": {"from": _TIME, "to": _TIME},
    "required": ["from", "to"],
    "additionalProperties": False,
}
_LOCALE: Final = msgspec.Meta(
    extra_json_schema={"description": "A language tag: en, zh-CN, de-AT.", "extra": {"examples": ["en", "zh-CN"]}}
)
_TIME_ZONE: Final = msgspec.Meta(
    extra_json_schema={
        "description": "An IANA name: UTC, Asia/Shanghai.",
        "extra": {"enum": sorted(available_timezones())},
    }
)
_NOTIFICATIONS: Final = msgspec.Meta(
    extra_json_schema={
        "description": "Which channels may be used, and when it is quiet; security mail always goes.",
        "extra": {
            "properties": {"mail": _CHOICE, "sms": _CHOICE, "quiet_hours": _QUIET_HOURS},
            "additional_properties": False,
        },
    }
)


class AllSettings(Request, frozen=True, kw_only=True):
    """Settings instead of the present ones; those of `notifications` that are left out return to their defaults."""

    locale: Annotated[str, _LOCALE]
    time_zone: Annotated[str, _TIME_ZONE]
    notifications: Annotated[dict[str, Any], _NOTIFICATIONS] | UnsetType = UNSET

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        del accounts
        return settings.problems_of(values)


class SettingsChange(Request, frozen=True, kw_only=True):
    """Those settings that are to be different."""

    locale: Annotated[str, _LOCALE] | UnsetType = UNSET
    time_zone: Annotated[str, _TIME_ZONE] | UnsetType = UNSET
    notifications: Annotated[dict[str, Any], _NOTIFICATIONS] | UnsetType = UNSET

    @classmethod
    def problems(cls, values: Mapping[str, Any], accounts: Accounts) -> list[Problem]:
        del accounts
        return settings.problems_of(values)


class SettingsController(Controller):
    """The choices of the caller."""

    path = "/api/v1/users/me/settings"
    tags = ("settings",)
    security = _BEARER

    @get("/", operation_id="mySettings", responses=errors(401, 503))
    async def my_settings(self, request: ApiRequest, services: OurServices) -> UserSettings:
        """What the caller has chosen, or the defaults."""
        me = await caller(request, services)
        async with services.database.transaction() as tx:
            return await settings.of_user(tx, me.user, services.config.accounts)

    @put(
        "/",
        dto=Body[AllSettings],
        before_request=require_json,
        operation_id="replaceSettings",
        responses=errors(400, 401, 404, 413, 415, 503),
    )
    async def replace(self, request: ApiRequest, services: OurServices, data: JSONBody[AllSettings]) -> UserSettings:
        """All settings at once."""
        return await _change(request, services, data, is_whole=True)

    @patch(
        "/",
        dto=Body[SettingsChange],
        before_request=require_json,
        operation_id="changeSettings",
        responses=errors(400, 401, 404, 413, 415, 503),
    )
    async def change(self, request: ApiRequest, services: OurServices, data: JSONBody[SettingsChange]) -> UserSettings:
        """Those settings that are given; of `notifications`, too, only those given change."""
        return await _change(request, services, data, is_whole=False)


async def _change(
    request: ApiRequest, services: Services, data: AllSettings | SettingsChange, *, is_whole: bool
) -> UserSettings:
    me = await caller(request, services)
    fields = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    async with services.database.transaction() as tx:
        return await service.change_settings(
            tx,
            me.user.id,
            fields,
            accounts=services.config.accounts,
            origin=origin_of(request, actor=me.user.id),
            clock=services.clock,
            is_whole=is_whole,
        )
