"""What a client under measurement is told."""

from __future__ import annotations

import json
import ssl
from typing import NamedTuple

from benchmarks.frames import tokens


class Target(NamedTuple):
    """The server, and what to ask of it."""

    port: int
    instruments: int
    quotes: int
    """Quotes that will come in all."""
    per_frame: int
    """Quotes in each frame, for clients that do not look inside."""
    ca: str | None
    """PEM file of the authority of the server's certificate; None for a server without TLS."""
    latency: bool
    """Whether each quote's volume is a stamp."""

    @property
    def tokens(self) -> list[str]:
        """The instruments, as Firstock names them."""
        return tokens(self.instruments)

    @property
    def scheme(self) -> str:
        """That of the URL."""
        return "wss" if self.ca else "ws"

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{self.scheme}://{self.host}/ws"

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Verifies the server with the test's own authority; None without TLS."""
        return ssl.create_default_context(cafile=self.ca) if self.ca else None

    @property
    def subscription(self) -> str:
        """The frame that bare clients send; the server waits for one."""
        return json.dumps({"action": "subscribe", "tokens": "|".join(self.tokens)})
