"""What the suite holds against the client: one row for each fault, in the order of the report."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A fault, and what the client does about it."""

    id: str
    fault: str
    expected: str


ROWS = (
    Row(
        "refused",
        "connection refused; a name that cannot be looked up; network unreachable",
        "tries again after a random wait; one `on_error` and `on_reconnect` a try; `close()` is not held up",
    ),
    Row(
        "opening",
        "TCP swallows everything, or accepts and says nothing; TLS says nothing; the handshake drips byte by "
        "byte; no word on the key",
        "one deadline (`connect_timeout`) for all of it, then tries again",
    ),
    Row(
        "certificate",
        "certificate of another host, or of nobody we trust; a server without TLS",
        "never connected, nothing sent: `on_error` says what is wrong with the certificate",
    ),
    Row(
        "key-refused",
        "the key is refused: HTTP 401 or 403, even without the announced body; a frame, then a close frame or FIN",
        "stops after exactly one handshake; `AuthenticationError` says where to get a fresh key",
    ),
    Row(
        "key-function",
        "the same, when `jkey` is a function",
        "asks it again: one handshake for each new key, none for a key that was refused already",
    ),
    Row("retry-after", "HTTP 429 or 503 with Retry-After", "waits at least that long (an hour at most)"),
    Row(
        "no-handshake",
        "a captive portal's 200, a wrong accept key, garbage instead of HTTP, no answer; a 503 with an endless "
        "body",
        "tries again; the error is in our words, nothing of the answer in it; memory stays bounded",
    ),
    Row("redirect", "redirect to another address", "refused; the other address sees no request, so no key"),
    Row(
        "session-limit",
        "three sessions are open already, at the start or while reconnecting",
        "`SessionLimitError` at the start; while reconnecting it waits until the broker forgets the lost session",
    ),
    Row(
        "key-expires",
        "the key dies in mid-stream",
        "`AuthenticationError` and the end with a plain key; a fresh one from a function",
    ),
    Row(
        "lost",
        "close frames 1000, 1001, 1011, 1012, 1013, without a code; RST; FIN without a close frame (1006)",
        "reconnects, asks for exactly what is wanted, once, merges from fresh snapshots; `on_close` once",
    ),
    Row(
        "killed",
        "the server is killed and comes back",
        "tries on, reconnects, has its subscriptions again",
    ),
    Row(
        "frozen",
        "the server's process is stopped (SIGSTOP), or says nothing any more",
        "found within `ping_interval` + `ping_timeout`, then reconnects",
    ),
    Row("half-frame", "half a frame, then silence", "found within `io_timeout`, then reconnects"),
    Row(
        "stale",
        "pings are answered, but no data comes",
        "found within `stale_after` when that is set and something is subscribed; left alone otherwise",
    ),
    Row(
        "wall-clock",
        "the computer's clock is stepped by an hour, back or forth",
        "nothing: no timeout depends on it, and a dead server is found as before",
    ),
    Row(
        "too-big",
        "a message above `max_message_size`; a header that claims 1 TiB; 10,000 fragments",
        "protocol error and reconnect; memory and processor time stay bounded",
    ),
    Row(
        "slow-line",
        "one byte per write; up to 200 ms of jitter; 20 kB/s",
        "every event, in order; no timeout",
    ),
    Row(
        "bad-frames",
        "bad UTF-8, bad JSON, scalars, wrong types, NaN, huge integers, duplicate keys, binary frames",
        "reported with `FrameError` and counted; the feed goes on",
    ),
    Row(
        "unread",
        "the server stops reading while we subscribe",
        "the send times out (`io_timeout`), reconnects, no subscription is lost",
    ),
    Row(
        "burst",
        "100,000 quotes at once against a callback of 1 ms, orders among them",
        "newest quote per instrument, received = delivered + conflated + waiting; every order, in order; bounded "
        "memory",
    ),
    Row(
        "blocked", "a callback blocks for 30 s", "the connection does not notice: pings are answered, no reconnect"
    ),
    Row(
        "raising",
        "a callback raises each time, even SystemExit; `on_error` raises too",
        "logged, counted, told to `on_error`; the feed goes on",
    ),
    Row(
        "close",
        "`close()` from the main thread, a callback, `on_error`, eight threads at once, before `connect()`, while "
        "dialling, in TLS, in the handshake, during a wait, twice",
        "returns within 5 s; no connection and no thread afterwards",
    ),
    Row(
        "churn",
        "8 threads subscribe and unsubscribe through reconnects",
        "the server ends with exactly the wanted set",
    ),
    Row(
        "flapping",
        "50 ups and downs in 20 s",
        "a connection that dies soon does not make the waits short again; one socket at a time",
    ),
    Row(
        "herd",
        "1,000 clients lose the server for 60 s (simulated clock)",
        "come back one by one: the peak is at least 20 times below that of clients with a fixed delay",
    ),
    Row(
        "exit",
        "the program ends without `close()`: by return, an exception, Ctrl-C or SIGTERM",
        "says goodbye to the server where it still can, ends within 1 s, prints nothing of its own",
    ),
    Row(
        "fork",
        "a fork while connected",
        "the child can't touch the parent's connection: `UsageError` there, its exit changes nothing",
    ),
    Row("proxy-variables", "proxy variables in the environment", "not used, as documented; connects directly"),
    Row("descriptors", "file descriptors above 1024", "works"),
    Row(
        "secrets",
        "`websocket.enableTrace(True)`, logging at DEBUG everywhere, servers that repeat the key",
        "the key is in no log record, exception, repr or output",
    ),
    Row("secrets-rest", "the REST side fails, with logging at DEBUG everywhere", "the key is nowhere, as above"),
    Row(
        "missed",
        "orders are filled while the stream is down; updates are lost on a healthy stream; they come late",
        'told from the broker\'s books with `source="book"`, once; a late update of the stream not again',
    ),
    Row(
        "books",
        "the books of orders and positions can't be read: HTTP errors, other answers, cut, mute, dripping",
        "`ReconcileError` once, `stats.gap_since` until it has succeeded; the stream does not notice",
    ),
    Row(
        "leaks",
        "1,000 reconnects with the garbage collector off",
        "no descriptor, thread, connection object or memory is left behind",
    ),
    Row("soak", "random faults from a printed seed", "lost, duplicated, reordered, unexplained: all 0"),
    Row(
        "fast-path",
        "frames cut anywhere, mixed with pings and fragments, malformed or too long; TLS records cut or joined; "
        "the fast path switched off",
        "the same quotes, errors and endings, read past websocket-client or by it",
    ),
    Row(
        "parser",
        "any bytes at all, and mutated real frames, into the parser",
        "an event or a `FrameError`, never another exception",
    ),
)

ROW_IDS = frozenset(row.id for row in ROWS)
