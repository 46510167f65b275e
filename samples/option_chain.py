"""A small option chain: the strikes around the money of the nearest expiry, found by name in the symbol files.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate --rest-port 9101`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_REST_URL=http://127.0.0.1:9101/V1 \\
    FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python option_chain.py

``--seconds 10`` ends it by itself.
"""

import argparse
import sys
import time

from firstock_ws import FirstockError, FirstockWS
from firstock_ws.symbols import Symbol

# The index by its token; its options by name.
INDEX, UNDERLYING = "NSE:26000", "NIFTY"
STRIKES_EACH_WAY = 3


def price_of_index(client: FirstockWS, patience: float = 10.0) -> float:
    """Wait for the first price of the index; its quote comes a moment after the connection is up."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        quote = client.quotes.get(INDEX)
        if quote is not None and quote.last_price is not None:
            return quote.last_price
        time.sleep(0.05)
    raise TimeoutError(f"no price of {INDEX} within {patience:g} s: is the market open?")


def around_the_money(options: list[Symbol], price: float) -> list[Symbol]:
    """Of `options`, those of the strikes nearest to `price`."""
    strikes = sorted({option.strike for option in options if option.strike is not None})
    middle = min(range(len(strikes)), key=lambda at: abs(strikes[at] - price))
    near = strikes[max(0, middle - STRIKES_EACH_WAY) : middle + STRIKES_EACH_WAY + 1]
    return [option for option in options if option.strike in near]


def show(client: FirstockWS, chain: list[Symbol]) -> None:
    """Print a line for each strike: the call, the strike, the put."""
    index = client.quotes[INDEX]
    print(f"{UNDERLYING} {index.last_price}, options of {chain[0].expiry}")
    prices: dict[float | None, dict[str | None, float | None]] = {}
    for option in chain:
        # Missing until the first quote of the option is there.
        quote = client.quotes.get(option.instrument)
        prices.setdefault(option.strike, {})[option.option_type] = quote.last_price if quote else None
    for strike, pair in prices.items():
        print(f"{pair.get('CE') or '-':>10} {strike:>10} {pair.get('PE') or '-':>10}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints a small option chain once a second.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until Ctrl-C)")
    seconds = parser.parse_args().seconds
    try:
        client = FirstockWS.from_login()
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    # The end of the block closes the connection, also after an exception.
    with client:
        try:
            client.connect()
            client.subscribe(INDEX)
            options = client.symbols.options(UNDERLYING, expiry="nearest")
            chain = around_the_money(options, price_of_index(client))
            client.subscribe(chain)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                show(client, chain)
                time.sleep(1)
        except KeyboardInterrupt:
            print("stopped by Ctrl-C")
        except (FirstockError, TimeoutError) as error:
            print(f"Gave up: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
