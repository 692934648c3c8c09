"""Errors that handlers raise and callers get."""

import re
from typing import Any

_CODE = re.compile(r"[A-Z][A-Z0-9_]*")


class MailroomError(Exception):
    """A failure with a code.

    A handler raises it to fail its request. A caller gets it if its request failed.

    code: upper case with underscores, such as VOUCHER_USED.
    status: the HTTP status, 400 to 599.
    details: any JSON value.
    service, action: the action that failed, if a call failed; empty: none.
    ticket: set for callers, if the request is unsafe: its name in /requests/<ticket>.
    retry_after: set for callers: the time in seconds after which to try again, or None.
    """

    def __init__(self, code: str, status: int = 500, message: str = "", details: Any = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.status = status
        self.message = message
        self.details = details
        self.service = ""
        self.action = ""
        self.ticket: str | None = None
        self.retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code

    def fault(self) -> str:
        """Return why Mailroom would not accept this failure. Empty: it would."""
        if not isinstance(self.code, str) or not _CODE.fullmatch(self.code):
            return f"the code {self.code!r} is not upper case with underscores"
        if type(self.status) is not int or not 400 <= self.status <= 599:
            return f"the status {self.status!r} is not from 400 to 599"
        return ""

    def frame(self) -> dict[str, Any]:
        """Return the member `error` of a frame."""
        frame: dict[str, Any] = {"code": self.code, "status": self.status}
        if self.message:
            frame["message"] = self.message
        if self.details is not None:
            frame["details"] = self.details
        if self.service:
            frame |= {"service": self.service, "action": self.action}
        return frame


class _Known(MailroomError):
    """A failure with a code of Mailroom's own; `code` replaces it by one of the service."""

    default_code = "INTERNAL"
    default_status = 500

    def __init__(self, message: str = "", details: Any = None, *, code: str = "") -> None:
        super().__init__(code or self.default_code, self.default_status, message, details)


class BadRequest(_Known):
    """400: the arguments are not valid."""

    default_code, default_status = "BAD_REQUEST", 400


class Forbidden(_Known):
    """403: the caller may not do this."""

    default_code, default_status = "FORBIDDEN", 403


class NotFound(_Known):
    """404: there is no such record."""

    default_code, default_status = "NOT_FOUND", 404


class Conflict(_Known):
    """409: the state of the record does not allow this."""

    default_code, default_status = "CONFLICT", 409


class Unprocessable(_Known):
    """422: the arguments are well formed, but make no sense."""

    default_code, default_status = "UNPROCESSABLE", 422


class Unavailable(_Known):
    """503: something that the service needs is not available, and nothing was done."""

    default_code, default_status = "UNAVAILABLE", 503


class NoOutcome(Exception):
    """The handler does not know whether the work was done: NoOutcome(error).

    The request has no outcome, and Mailroom delivers it again.
    """


def from_frame(frame: dict[str, Any]) -> MailroomError:
    """Return the failure of an answer `{"ok":false,"error":{…}}`."""
    error = frame.get("error")
    error = error if isinstance(error, dict) else {}
    code, status = error.get("code") or "INTERNAL", error.get("status") or 500
    known = next((c for c in _Known.__subclasses__() if c.default_status == status), None)
    failure: MailroomError
    if known and known.default_code == code:
        failure = known(error.get("message") or "", error.get("details"))
    else:
        failure = MailroomError(code, status, error.get("message") or "", error.get("details"))
    failure.service, failure.action = error.get("service") or "", error.get("action") or ""
    failure.ticket = frame.get("ticket")
    if (retry_after := frame.get("retry_after")) is not None:
        failure.retry_after = retry_after / 1000
    return failure
