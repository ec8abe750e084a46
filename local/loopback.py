"""HTTP servers on this machine's loopback interface."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import ExitStack

    from werkzeug.serving import BaseWSGIServer

    Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _QuietHandler(MotoRequestHandler):
    """Serves without a line on stderr for each request."""

    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True  # header and body are two writes; the second would wait 40 ms for the first's ACK

    def log_request(self, *_: Any) -> None:
        """Say nothing."""


def serve(stack: ExitStack, application: Application, port: int, name: str) -> str:
    """Serve a WSGI application until `stack` closes, on `port` or, for 0, on any free one; returns its address.

    Raises OSError where the port is taken.
    """
    _quiet(stack)
    server: BaseWSGIServer = make_server("127.0.0.1", port, application, threaded=True, request_handler=_QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=name, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"http://127.0.0.1:{server.server_address[1]}"


def _quiet(stack: ExitStack) -> None:
    # Werkzeug writes a banner, and a line for each connection that breaks off.
    logger = logging.getLogger("werkzeug")
    stack.callback(logger.setLevel, logger.level)
    logger.setLevel(logging.CRITICAL)
