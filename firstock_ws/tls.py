"""The one TLS setting of this package, used for the stream and for REST alike."""

from __future__ import annotations

import ssl
from functools import lru_cache


@lru_cache(maxsize=1)
def default_context() -> ssl.SSLContext:
    """Return a context that verifies certificates and host names with this computer's store of authorities.

    There is no switch that turns verifying off. Made once: reading the store takes some 20 ms.
    """
    return ssl.create_default_context()
