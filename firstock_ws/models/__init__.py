"""What the callbacks are given: immutable, typed, in rupees and IST."""

from firstock_ws.models._fields import IST
from firstock_ws.models.greeks import OptionGreeks
from firstock_ws.models.order import OrderUpdate
from firstock_ws.models.position import PositionUpdate
from firstock_ws.models.quote import DepthLevel, Quote

__all__ = ["IST", "DepthLevel", "OptionGreeks", "OrderUpdate", "PositionUpdate", "Quote"]
