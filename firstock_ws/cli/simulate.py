"""``simulate``: the broker on this computer, in the foreground."""

from __future__ import annotations

from collections.abc import Sequence

from firstock_ws.cli.serving import refusals_shown, serve, start
from firstock_ws.simulator import Simulator


def run_simulate(
    *,
    host: str,
    port: int,
    rest_port: int,
    users: Sequence[str],
    rate: float,
    orders_every: float,
    seed: int | None,
) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit code. `users` are words of ``USER:KEY``, joined or not."""
    pairs = (word.strip().partition(":") for words in users for word in words.split(","))
    known = {user_id: key for user_id, _, key in pairs} or {"AB1234": "secret"}
    simulator = Simulator(
        users=known,
        host=host,
        port=port,
        rest_port=rest_port,
        rate=rate,
        order_interval=orders_every or None,
        seed=seed,
    )
    with refusals_shown():
        start(simulator, port, rest_port)
        lines = (
            f"{simulator.url} {simulator.url_v2}",
            f"Simulated market for user {', '.join(known)}: none of this is real. Ctrl-C stops it.",
            "A client's address ends with ?userId=USER&jKey=KEY&source=developer-api",
            f"REST, for login and the books: {simulator.rest_url}",
            "To log in, with any password, vendor code and API key, and any six digits, type",
            f"  {_login_line(simulator)}",
        )
        serve(simulator, lines)
    return 0


def _login_line(simulator: Simulator) -> str:
    return f"firstock-ws login --user-id {simulator.user_id} --url {simulator.url} --rest-url {simulator.rest_url}"
