"""Switches for what the broker never published about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Behaviour:
    """How the simulated broker acts where the real one is not known.

    Frozen: assign ``sim.behaviour = dataclasses.replace(sim.behaviour, ...)`` to change it for what
    happens next.

    Args:
        v2_deltas: After the snapshot, V2 frames hold only changed fields; if false each one is full.
        session_limit_envelope: What carries the session-limit text: ``"status"`` a JSON object with
            ``status`` and ``message``, ``"text"`` the bare text, ``"error"`` ``{"error":{"message":..}}``.
        auth_failure: A bad key is told by a frame after the upgrade, or by HTTP 401 or 403 instead of it.
        close_after_failure: After a failure frame the server sends a close frame, or only a TCP FIN.
        failure_close_code: Code of that close frame.
        expiry: What a session sees when its key dies: ``"frame"`` the ``unauthenticated`` frame and then
            the end of the connection, ``"close"`` only a close frame, ``"fin"`` only a TCP FIN.
        expiry_close_code: Code of the close frame of ``expiry="close"``.
        greeks_scale: Factor on every option greek that goes out.
        greeks_form: Greeks come keyed by ``EXCHANGE:TOKEN``, or as the inner object alone.
        forget_sessions_after: Seconds for which a session whose client vanished without a close frame
            still counts towards the session limit.
        auth_delay: Seconds between the upgrade and the first frame. What a client sends in that time is
            dropped, so a client that does not wait for the success frame fails every time.
        login_renews_key: A login makes a new key and ends the sessions on the old one; if false it hands
            out the key that works, and makes one only if there is none.
        empty_book: An empty order or position book comes as ``[]``, or as a failed answer that says so.
        book_lag: Seconds by which the REST books lag behind what happened.
        symbols_bom: The symbol files begin with a byte order mark.
        symbols_validators: What the server tells of a symbol file's version, and answers 304 by: an
            ``ETag``, ``Last-Modified``, both, or nothing.
    """

    v2_deltas: bool = True
    session_limit_envelope: Literal["status", "text", "error"] = "status"
    auth_failure: Literal["frame", "http401", "http403"] = "frame"
    close_after_failure: Literal["close", "fin"] = "close"
    failure_close_code: int = 1000
    expiry: Literal["frame", "close", "fin"] = "frame"
    expiry_close_code: int = 1008
    greeks_scale: float = 1.0
    greeks_form: Literal["keyed", "flat"] = "keyed"
    forget_sessions_after: float = 0.0
    auth_delay: float = 0.02
    login_renews_key: bool = True
    empty_book: Literal["list", "failure"] = "failure"
    book_lag: float = 0.0
    symbols_bom: bool = True
    symbols_validators: Literal["both", "etag", "modified", "none"] = "both"
