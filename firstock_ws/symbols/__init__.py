"""What can be traded, by name: the broker's symbol files, kept for the day, looked up by trading symbol or token.

>>> from firstock_ws.symbols import SymbolMaster
>>> master = SymbolMaster()
>>> master["NSE:RELIANCE-EQ"].token  # doctest: +SKIP
'2885'
"""

from firstock_ws.symbols.master import SymbolFile, SymbolMaster
from firstock_ws.symbols.symbol import Symbol

__all__ = ["Symbol", "SymbolFile", "SymbolMaster"]
