"""`/api/v1/admin/users/import` and `…/export`: many users at once, streamed in both directions."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import OpenAPIResponse, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from usercenter.api.access import require_role
from usercenter.api.admin_views import ImportView, search_of
from usercenter.api.description import LARGEST, files
from usercenter.api.injection import ApiRequest, OurServices
from usercenter.api.origin import origin_of
from usercenter.api.problems import answer, errors
from usercenter.api.services import Services
from usercenter.events import new_id
from usercenter.users import import_queries
from usercenter.users.directory import Search
from usercenter.users.import_queries import ImportConflict, ImportNotFound
from usercenter.users.import_records import Format
from usercenter.users.imports import Importer

_BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
_FORMATS: Final[dict[str, Format]] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}
_FILES: Final = {
    "text/csv": Schema(
        type=OpenAPIType.STRING,
        description="A head line with the names of columns, then a line for each user.",
        examples=["username,email,first_name\r\nalice,alice@example.com,Alice\r\n"],
    ),
    "application/x-ndjson": Schema(
        type=OpenAPIType.STRING,
        description="A JSON object on each line.",
        examples=['{"username": "alice", "email": "alice@example.com"}\n'],
    ),
}
_MEDIA_TYPES: Final[dict[Format, str]] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}


class NotImportable(Exception):
    """The body is of a kind that cannot be imported."""


class TooLarge(Exception):
    """The file is larger than the server takes."""


def _named(status: int, name: str) -> Any:
    return lambda request, error: answer(request, status, name, str(error))


@dataclass
class _Import(Operation):
    """The description of the route that reads a file by itself, in the place of a parameter `data`."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(required=True, content=files(_FILES))


@dataclass
class _Export(Operation):
    """The description of the route that answers a file of either kind."""

    def __post_init__(self) -> None:
        answers = self.responses or {}
        answers["200"] = OpenAPIResponse(description="The users, line by line", content=files(_FILES))


class ImportController(Controller):
    """Admins import; admins and auditors look at it, and export."""

    path = "/api/v1/admin/users"
    tags = ("admin",)
    security = _BEARER
    exception_handlers = {
        ImportNotFound: _named(404, "import_not_found"),
        ImportConflict: _named(409, "import_conflict"),
        NotImportable: _named(415, "not_importable"),
        TooLarge: _named(413, "body_too_large"),
    }

    @post(
        "/import",
        status_code=200,
        operation_id="importUsers",
        operation_class=_Import,
        request_max_body_size=None,
        responses=errors(400, 401, 403, 409, 413, 415, 503),
    )
    async def import_users(
        self,
        request: ApiRequest,
        services: OurServices,
        import_id: Annotated[UUID | None, QueryParameter(name="id", required=False)] = None,
        welcome: FromQuery[bool] = False,
    ) -> ImportView:
        """Open an account for each record of a CSV file with a head line, or of NDJSON; answered when all are done.

        Columns: username, email, and password or password_hash (argon2id, bcrypt) or neither, first_name, last_name,
        phone, locale. What is wrong with a record is told with its line; the others are made. Choose an `id` to look
        at the progress meanwhile, and to go on with the same file after the connection broke. Without `welcome` no
        welcome mail is sent.
        """
        admin = await require_role(request, services, "admin")
        kind = _FORMATS.get(request.content_type[0])
        if kind is None:
            raise NotImportable("send Content-Type text/csv or application/x-ndjson")
        importer = Importer(services.database, services.passwords, services.config.accounts, services.clock)
        done = await importer.run(
            import_id or new_id(),
            _at_most(request, services.config.server.max_import_bytes),
            kind,
            has_welcome=welcome,
            origin=origin_of(request, actor=admin.user.id),
        )
        return await _view(services, done.id, after_line=0)

    @get("/imports/{import_id:uuid}", operation_id="import", responses=errors(400, 401, 403, 404, 503))
    async def progress(
        self,
        request: ApiRequest,
        services: OurServices,
        import_id: FromPath[UUID],
        after_line: Annotated[int, QueryParameter(ge=0, le=LARGEST, schema_extra={"minimum": 0})] = 0,
    ) -> ImportView:
        """How far an import is, and which lines made no account."""
        await require_role(request, services, "auditor")
        return await _view(services, import_id, after_line=after_line)

    @get(
        "/export",
        operation_id="exportUsers",
        operation_class=_Export,
        responses=errors(400, 401, 403, 429, 503),
        dependencies={"search": Provide(search_of, sync_to_thread=False)},
    )
    async def export(
        self,
        request: ApiRequest,
        services: OurServices,
        search: NamedDependency[Search],
        kind: Annotated[Literal["csv", "ndjson"], QueryParameter(name="format")] = "ndjson",
    ) -> Stream:
        """Every user that the filters leave, as of one moment, oldest first; no password, no hash of one.

        A cell of CSV that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage
        return) has an apostrophe in front, which an import takes away again. `server.concurrent_exports` are made at a
        time by one process; then the answer is 429, with Retry-After.
        """
        await require_role(request, services, "auditor")
        lines = services.exports.lines(search, kind)
        first = await anext(lines, b"")  # no place, or a database that is not there: still a 429 or a 503
        headers = {"Content-Disposition": f'attachment; filename="users.{kind}"'}
        return Stream(_chained(first, lines), media_type=_MEDIA_TYPES[kind], headers=headers)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _at_most(request: ApiRequest, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"imports of at most {limit} bytes are read (`server.max_import_bytes`); use the command")
        yield chunk


async def _view(services: Services, import_id: UUID, *, after_line: int) -> ImportView:
    async with services.database.transaction() as tx:
        state = await import_queries.find_import(tx, import_id)
        return ImportView(progress=state, errors=await import_queries.errors_of(tx, import_id, after_line=after_line))
