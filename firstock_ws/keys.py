"""Where the jKey of each try comes from, and which keys the broker has refused already."""

from __future__ import annotations

from collections.abc import Callable

from firstock_ws._secrets import REDACTOR, Secret, get_logger
from firstock_ws.errors import AuthenticationError, ConnectError, FirstockError

logger = get_logger("firstock_ws.keys")

KeySource = str | Callable[[], str]
_WANTED = "the susertoken that login() returns as session.jkey"


class Keys:
    """Gives the key for each try. Used by the io thread alone."""

    def __init__(self, source: KeySource) -> None:
        """
        Raises:
            TypeError: `source` is neither a string nor callable.
            ValueError: it is an empty string.
        """
        if isinstance(source, str):
            if not source.strip():
                raise ValueError(f"jkey is empty: give {_WANTED}")
        elif not callable(source):
            raise TypeError(f"jkey must be a string or a function that returns one: {_WANTED}")
        self._source: Callable[[], str] | Secret
        self._source = self._known(source) if isinstance(source, str) else source
        self._refused: set[str] = set()
        self._last: str | None = None

    @staticmethod
    def _known(key: str) -> Secret:
        key = key.strip()
        if not key.isprintable():
            raise ValueError(f"the jKey holds signs that no key has: give {_WANTED}")
        REDACTOR.remember(key)
        return Secret(key)

    @property
    def can_change(self) -> bool:
        """Whether asking again may give another key."""
        return not isinstance(self._source, Secret)

    def next(self) -> Secret:
        """Return the key for the next try.

        Raises:
            AuthenticationError: there is no key that the broker has not refused yet; trying on is pointless.
            FirstockError: the user's function failed; it may do better next time.
        """
        key = self._source if isinstance(self._source, Secret) else self._ask(self._source)
        if key.reveal() in self._refused:
            raise AuthenticationError(
                "the broker refused the jKey, and jkey() returned the same one again: log in for a new one, with "
                "login() or firstock-ws login"
            )
        self._last = key.reveal()
        return key

    def _ask(self, source: Callable[[], str]) -> Secret:
        failure: BaseException | None = None
        key: object = None
        try:
            key = source()
        except FirstockError:
            raise
        except (Exception, SystemExit) as error:
            # SystemExit too: helpers made for the command line end with it, and it would end a thread unseen.
            logger.exception("jkey() raised %s", type(error).__name__)
            failure = error
        if failure is not None:
            raise ConnectError(f"jkey() raised {type(failure).__name__}; the log has the traceback") from failure
        if not isinstance(key, str) or not key.strip() or not key.strip().isprintable():
            raise AuthenticationError(
                f"jkey() returned {type(key).__name__} without a key in it: return {_WANTED}"
            )
        return self._known(key)

    def refused(self) -> None:
        """Remember that the broker does not accept the key that `next` returned last."""
        if self._last is not None:
            self._refused.add(self._last)

    def forget_refusals(self) -> None:
        """Try every key again: one was accepted, or the user asks for a new start."""
        self._refused.clear()
