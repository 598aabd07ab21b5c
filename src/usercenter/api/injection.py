"""How a route is given its request and the services."""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency

from usercenter.api.services import Services

ApiRequest = Request[Any, Any, State]
OurServices = NamedDependency[Services]
"""How a route asks for them."""
