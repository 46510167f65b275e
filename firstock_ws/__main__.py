"""``python -m firstock_ws``: the same as the command ``firstock-ws``."""

from firstock_ws.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
