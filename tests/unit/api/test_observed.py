import pytest
from structlog.testing import capture_logs

from usercenter.api.observed import Observed
from usercenter.metrics import Metrics

ANSWERS = [
    ("GET", 200),
    ("HEAD", 200),
    ("GET", 304),
    ("GET", 404),
    ("GET", 503),
    ("POST", 201),
    ("DELETE", 204),
    ("PATCH", 409),
]


async def ask(observed, verb, path="/users/7"):
    """One request, as the server hands it on."""
    scope = {"type": "http", "method": verb, "path": path, "scheme": "http", "headers": []}
    await observed(scope, None, _nobody)


async def _nobody(message):
    """Takes the answer."""


def answering(statuses):
    """An application that answers with these, one after the other."""
    left = iter(statuses)

    async def application(scope, receive, send):
        scope["path_template"] = scope["path"] if scope["path"] == "/live" else "/users/{id}"
        await send({"type": "http.response.start", "status": next(left), "headers": []})

    return application


async def logged(wanted):
    observed = Observed(answering(status for _, status in ANSWERS), Metrics(), logged=wanted)
    with capture_logs() as lines:
        for verb, _ in ANSWERS:
            await ask(observed, verb)
    return [(line["method"], line["status"]) for line in lines if line["event"] == "http.request_answered"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("all", ANSWERS),
        ("changes", [each for each in ANSWERS if each[0] not in {"GET", "HEAD"} or each[1] >= 400]),
        ("failures", [each for each in ANSWERS if each[1] >= 400]),
    ],
)
async def test_the_log_has_the_requests_that_are_wanted_and_every_failure(wanted, expected):
    assert await logged(wanted) == expected


async def test_every_request_is_counted_whether_it_is_logged_or_not():
    metrics = Metrics()
    observed = Observed(answering([200, 200, 404]), metrics, logged="failures")
    for _ in range(3):
        await ask(observed, "GET")

    text = metrics.text().decode()
    assert 'usercenter_http_request_duration_seconds_count{method="GET",route="/users/{id}",status="200"} 2.0' in text
    assert 'usercenter_http_request_duration_seconds_count{method="GET",route="/users/{id}",status="404"} 1.0' in text


async def test_probes_are_never_logged():
    with capture_logs() as lines:
        await ask(Observed(answering([200]), Metrics(), logged="all"), "GET", "/live")

    assert lines == []
