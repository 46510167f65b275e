"""Nothing but a transport and a JSON library, on blocking sockets."""

from __future__ import annotations

import socket
from typing import Any

from benchmarks.meter import Meter
from benchmarks.target import Target

_FIN_TEXT = 0x81
_MASKED = 0x80


def run_app(target: Target, meter: Meter) -> None:
    """Measure websocket-client's app: the callback runs on its reading thread."""
    import orjson
    import websocket

    def on_open(app: websocket.WebSocketApp) -> None:
        app.send(target.subscription)

    def on_message(app: websocket.WebSocketApp, message: str) -> None:
        fields = orjson.loads(message)
        if target.latency:
            meter.stamp(fields["i_volume_traded_today"])
        else:
            meter.add(target.per_frame)

    app = websocket.WebSocketApp(target.url, on_open=on_open, on_message=on_message)
    app.run_forever(skip_utf8_validation=True, sslopt={"ca_certs": target.ca} if target.ca else None)


def run_floor(target: Target, meter: Meter) -> None:
    """Measure the least that any client in Python does: receive, split, decode. It trusts the server wholly."""
    sock = _open(target)
    sock.sendall(_masked_text(target.subscription.encode()))
    _read(sock, target.per_frame, meter)


def _open(target: Target) -> socket.socket:
    sock: Any = socket.create_connection(("127.0.0.1", target.port))
    context = target.ssl_context
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
    lines = (
        "GET /ws HTTP/1.1",
        f"Host: {target.host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    sock.sendall("\r\n".join((*lines, "", "")).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    opened: socket.socket = sock
    return opened


def _masked_text(payload: bytes) -> bytes:
    # A mask of zeros leaves the text as it is.
    return bytes((_FIN_TEXT, _MASKED | 127)) + len(payload).to_bytes(8, "big") + bytes(4) + payload


def _read(sock: socket.socket, per_frame: int, meter: Meter) -> None:
    from orjson import loads

    data = b""
    while received := sock.recv(65_536):
        data = data + received if data else received
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if start + size > end:
                break
            loads(data[start : start + size])
            meter.add(per_frame)
            at = start + size
        data = data[at:]
