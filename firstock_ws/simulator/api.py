"""The broker's REST calls: what it answers to which body."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timezone
from email.utils import format_datetime
from typing import NamedTuple

from .books import BookEntry, order_entry, position_entry
from .state import World

logger = logging.getLogger("firstock_ws.simulator")

Answer = tuple[int, dict[str, object]]
Fields = Mapping[str, object]

PREFIX = "/V1/"
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
TOTP = re.compile(r"[0-9]{6}")


def failed(status: int, name: str, field: str, message: str, code: str = "") -> Answer:
    """The answer of a call that failed.

    Args:
        status: Of HTTP.
        name: The broker's name for what went wrong.
        field: The field of the body that is to blame.
        message: For whoever reads it.
        code: The broker's code; empty for the HTTP status.
    """
    error = {"field": field, "message": message}
    return status, {"status": "failed", "code": code or str(status), "name": name, "error": error}


class SymbolAnswer(NamedTuple):
    """The answer to a call for a symbol file."""

    status: int
    headers: dict[str, str]
    body: bytes


def symbol_answer(world: World, name: str, tags: set[str], since: str) -> SymbolAnswer:
    """What a call for a symbol file is answered. Called with the world's lock held.

    Args:
        world: The broker.
        name: The file.
        tags: The versions that the client has, by their ``ETag``.
        since: When the version that it has was made, as it was told.
    """
    spoilt = world.rest.spoilt.get(name)
    if spoilt is not None and spoilt.body is not None:
        return SymbolAnswer(spoilt.status, {"Content-Type": "text/csv"}, spoilt.body)
    offered = world.behaviour.symbols_validators
    tag, made = world.files.tag(name), format_datetime(world.files.made_at.astimezone(timezone.utc), usegmt=True)
    headers = {"Content-Type": "text/csv"}
    if offered in ("both", "etag"):
        headers["ETag"] = tag
    if offered in ("both", "modified"):
        headers["Last-Modified"] = made
    # By RFC 9110 the tag counts where there is one.
    unchanged = tag in tags if tags else since == made
    if unchanged and offered != "none" and spoilt is None:
        return SymbolAnswer(304, headers, b"")
    mark = "\ufeff" if world.behaviour.symbols_bom else ""
    return SymbolAnswer(spoilt.status if spoilt else 200, headers, (mark + world.files.text(name)).encode())


class Api:
    """Called on the threads of the REST server; takes the world's lock itself.

    Args:
        world: The broker.
        change_key: Gives a user another jKey, or none, and returns when his sessions have been told. Not to
            be called with the lock held.
    """

    def __init__(self, world: World, change_key: Callable[[str, str | None], None]) -> None:
        self._world = world
        self._change_key = change_key
        self._calls: dict[str, Callable[[Fields], Answer]] = {
            "login": self._login,
            "logout": self._logout,
            "orderBook": self._order_book,
            "positionBook": self._position_book,
        }

    def answer(self, path: str, raw: bytes) -> Answer:
        """The answer to a request.

        Args:
            path: Its path, without a query.
            raw: Its body.
        """
        call = self._calls.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if call is None:
            return failed(404, "NOT_FOUND", "", "no such path")
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return failed(400, "BAD_REQUEST", "", "the body must be a JSON object")
        return call(body)

    def _login(self, body: Fields) -> Answer:
        world = self._world
        user_id = _text(body, "userId")
        with world.lock:
            field = self._wrong_credential(user_id, body)
            key = world.users.get(user_id)
            renew = world.behaviour.login_renews_key
            if not field and (renew or not key):
                key = secrets.token_hex(32)
                if not renew:
                    world.set_key(user_id, key)
        if field:
            # The broker tells no more than the field; nor does this.
            logger.info("refused a login: %s is wrong", field)
            return failed(401, "INVALID_CREDENTIALS", field, f"Invalid {field}")
        if renew:
            self._change_key(user_id, key)
        data = {
            "actid": user_id,
            "userName": f"SIMULATED {user_id}",
            "susertoken": key,
            "email": f"{user_id.lower()}@example.com",
        }
        return 200, {"status": "success", "message": "Login successful", "data": data}

    def _wrong_credential(self, user_id: str, body: Fields) -> str:
        known, digest = self._world.digest_of(user_id)
        password = _text(body, "password")
        if not known:
            return "userId"
        if not SHA256.fullmatch(password) or (digest and password.lower() != digest):
            return "password"
        if not TOTP.fullmatch(_text(body, "TOTP")):
            return "TOTP"
        return next((name for name in ("vendorCode", "apiKey") if not _text(body, name).strip()), "")

    def _logout(self, body: Fields) -> Answer:
        with self._world.lock:
            refusal = self._refuse_key(body)
        if refusal is not None:
            return refusal
        self._change_key(_text(body, "userId"), None)
        return 200, {"status": "success", "message": "User logged out successfully"}

    def _order_book(self, body: Fields) -> Answer:
        world = self._world
        with world.lock:
            seen = world.desk.orders_seen_after(_text(body, "userId"), world.behaviour.book_lag)
            entries = [order_entry(frame, placed) for frame, placed in seen]
            return self._refuse_key(body) or self._book("Order", entries)

    def _position_book(self, body: Fields) -> Answer:
        world = self._world
        with world.lock:
            seen = world.desk.positions_seen_after(_text(body, "userId"), world.behaviour.book_lag)
            entries = [position_entry(position, world.instrument(position.instrument).last) for position in seen]
            return self._refuse_key(body) or self._book("Position", entries)

    def _book(self, name: str, entries: list[BookEntry]) -> Answer:
        if not entries and self._world.behaviour.empty_book == "failure":
            return failed(200, "NO_DATA", "", f"No data found in the {name.lower()} book", code="404")
        return 200, {"status": "success", "message": f"{name} book fetched successfully", "data": entries}

    def _refuse_key(self, body: Fields) -> Answer | None:
        key = self._world.users.get(_text(body, "userId"))
        if key and key == _text(body, "jKey"):
            return None
        logger.info("refused a REST call: the key is wrong or has expired")
        return failed(401, "INVALID_JKEY", "jKey", "Invalid jKey")


def _text(body: Fields, name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
