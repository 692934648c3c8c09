"""Services and clients for Mailroom, a REST gateway with Redis Stream mailboxes.

    from mailroom import NotFound, Service, serve

    users = Service("users", version="1.4.0")

    @users.get("/users/:id")
    async def get_user(ctx, id: int) -> dict:
        return {"id": id, "name": "Oska"}

    serve(users)

Begin with Service (actions), Context (what a handler can do), serve (run a service) and connect
(call services). mailroom.testing runs actions in tests.
"""

from .action import Cache
from .client import Socket, connect
from .context import Context, Principal
from .errors import (
    BadRequest,
    Conflict,
    Forbidden,
    MailroomError,
    NoOutcome,
    NotFound,
    Unavailable,
    Unprocessable,
)
from .service import Options, Service
from .serving import serve, serve_async
from .subscription import Event, Subscription

__version__ = "0.1.0"

__all__ = [
    "BadRequest",
    "Cache",
    "Conflict",
    "Context",
    "Event",
    "Forbidden",
    "MailroomError",
    "NoOutcome",
    "NotFound",
    "Options",
    "Principal",
    "Service",
    "Socket",
    "Subscription",
    "Unavailable",
    "Unprocessable",
    "connect",
    "serve",
    "serve_async",
]
