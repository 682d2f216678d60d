"""Says which worker answered.  /slow takes two seconds: what a stop must not cut."""

import asyncio
import os


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(2)
    worker = os.environ.get("REUSEPORTD_WORKER", "?")
    body = f"Hello from uvicorn: worker {worker}, process {os.getpid()}.\n".encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain; charset=utf-8"),
                            (b"content-length", str(len(body)).encode()),
                            (b"x-worker", worker.encode())]})
    await send({"type": "http.response.body", "body": body})
