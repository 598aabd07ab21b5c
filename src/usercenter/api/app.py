"""The application: routes, errors and the description for machines, joined."""

from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin

from usercenter import __version__
from usercenter.api import health, problems
from usercenter.api.access import entrance
from usercenter.api.admin import AdminController, list_users, list_users_as_admin
from usercenter.api.admin_logs import AdminLogController
from usercenter.api.description import StrictBodies, with_retry_after, without_null_parameters
from usercenter.api.imports import ImportController
from usercenter.api.logins import LoginController
from usercenter.api.lookup import LookupController
from usercenter.api.me import MeController
from usercenter.api.methods import naming_every_method
from usercenter.api.observed import Application, Observed
from usercenter.api.recovery import RecoveryController
from usercenter.api.security_log import SecurityLogController
from usercenter.api.services import Services
from usercenter.api.sessions import SessionController
from usercenter.api.settings import SettingsController
from usercenter.api.statistics import statistics_of
from usercenter.api.users import UserController
from usercenter.api.webhooks import WebhookController


def front_door(services: Services) -> Application:
    """The whole API, for a process with the role `api`."""
    return _application(services, [*_FOR_USERS, *_FOR_ADMINS, LoginController, WebhookController, *_HEALTH])


_FOR_USERS: list[Any] = [
    UserController,
    SessionController,
    MeController,
    RecoveryController,
    SettingsController,
    SecurityLogController,
    LookupController,
]
_FOR_ADMINS: list[Any] = [
    list_users,
    list_users_as_admin,
    AdminController,
    AdminLogController,
    ImportController,
    statistics_of,
]
_HEALTH: list[Any] = [health.live, health.ready, health.health, health.metrics]


class _MsgspecAlone(Litestar):
    """Litestar for structs: its own choice loads pydantic wherever that is installed for others, 10 MB for nothing."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def _application(services: Services, routes: list[Any]) -> Application:
    litestar = _MsgspecAlone(
        routes,
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        state=State({"services": services}),
        exception_handlers=problems.HANDLERS,
        middleware=[naming_every_method, entrance(services)],
        plugins=[StrictBodies()],
        openapi_config=_description(),
        request_max_body_size=services.config.server.max_body_bytes,
        logging_config=None,
        debug=False,
    )
    logged = services.config.logging.requests
    return Observed(litestar, services.metrics, services.tracing, logged=logged)  # type: ignore[arg-type]  # Litestar's own, narrower ASGI types


class _JsonAlone(JsonRenderPlugin):
    """`/openapi.json` without Litestar's pages beside it, which would answer unknown addresses in HTML."""

    def render(self, request: Any, openapi_schema: dict[str, Any]) -> bytes:
        without_null_parameters(openapi_schema)
        with_retry_after(openapi_schema)
        return super().render(request, openapi_schema)

    def receive_router(self, router: Router) -> None:
        router.routes[:] = [route for route in router.routes if route.path in self.paths]


def _description() -> OpenAPIConfig:
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    return OpenAPIConfig(
        title="usercenter",
        version=__version__,
        description="Accounts: who may have one, and how their owners prove to be it.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        path="/",
        use_handler_docstrings=True,
        render_plugins=[_JsonAlone()],
        components=Components(security_schemes={"bearer": bearer}),
    )
