"""Records what a client receives, and plays it back through the same callbacks.

>>> from firstock_ws import FirstockWS, Recorder, replay
>>> client = FirstockWS("AB1234", "...", tokens=["NSE:26000"])
>>> with Recorder(client, "day.jsonl.zst"), client:  # doctest: +SKIP
...     client.run_forever()
>>> replay("day.jsonl.zst", on_quote=print, speed="max")  # doctest: +SKIP
"""

from firstock_ws.recording.format import Record
from firstock_ws.recording.playing import Replay, replay
from firstock_ws.recording.recorder import Recorder, RecorderStats

__all__ = ["Record", "Recorder", "RecorderStats", "Replay", "replay"]
