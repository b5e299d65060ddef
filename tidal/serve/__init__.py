"""The HTTP service: a database for programs in any language. Needs the extra ``http``."""

from tidal.errors import MissingExtra

try:
    import fastapi as _fastapi  # noqa: F401
except ImportError as error:
    raise MissingExtra("fastapi", "http", "the HTTP service") from error

from tidal.loopback import LOOPBACK_HOSTS
from tidal.serve.app import check_hosts, create_app
from tidal.serve.limits import ServiceLimits
from tidal.serve.tokens import Scope, Tokens

__all__ = ["LOOPBACK_HOSTS", "Scope", "ServiceLimits", "Tokens", "check_hosts", "create_app"]
