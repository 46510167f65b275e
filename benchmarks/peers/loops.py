"""WebSocket libraries for asyncio, each as its documentation shows it, with a JSON library and no callback."""

from __future__ import annotations

import asyncio

from benchmarks.meter import Meter
from benchmarks.target import Target


def run_websockets(target: Target, meter: Meter) -> None:
    """Measure websockets."""
    import orjson
    from websockets.asyncio.client import connect

    async def read() -> None:
        async with connect(target.url, ssl=target.ssl_context, proxy=None) as connection:
            await connection.send(target.subscription)
            async for message in connection:
                orjson.loads(message)
                meter.add(target.per_frame)

    asyncio.run(read())


def run_aiohttp(target: Target, meter: Meter) -> None:
    """Measure aiohttp."""
    import aiohttp
    import orjson

    async def read() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(target.url, ssl=target.ssl_context or True) as connection,
        ):
            await connection.send_str(target.subscription)
            async for message in connection:
                orjson.loads(message.data)
                meter.add(target.per_frame)

    asyncio.run(read())


def run_picows(target: Target, meter: Meter) -> None:
    """Measure picows."""
    import orjson
    import picows

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            transport.send(picows.WSMsgType.TEXT, target.subscription.encode())

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                orjson.loads(frame.get_payload_as_memoryview())
                meter.add(target.per_frame)

    async def read() -> None:
        transport, _ = await picows.ws_connect(Listener, target.url, ssl_context=target.ssl_context)
        await transport.wait_disconnected()

    asyncio.run(read())
