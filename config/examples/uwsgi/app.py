"""Says which worker answered.  /slow takes two seconds: what a stop must not cut."""

import os
import time


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(2)
    worker = os.environ.get("REUSEPORTD_WORKER", "?")
    body = f"Hello from uWSGI: worker {worker}, process {os.getpid()}.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"),
                              ("Content-Length", str(len(body))),
                              ("X-Worker", worker)])
    return [body]
