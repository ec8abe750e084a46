"""Entry of the launcher process: `python -E -S -m launcher SOCKET_FD USER_NAMESPACE STAGING_DIRECTORY`."""

from __future__ import annotations

import gc
import os
import socket
import sys

from . import linux
from .server import Server


def main(argv: list[str]) -> None:
    """Serve start requests from the socket until its other end closes."""
    descriptor, user_namespace, staging = int(argv[1]), argv[2] == "1", argv[3]
    if user_namespace:
        linux.enter_user_namespace()
    if linux.AVAILABLE:
        linux.adopt_orphans()
    # What exists now is shared by every child: frozen, the collector does not touch (and so copy) its pages.
    gc.freeze()
    with socket.socket(fileno=descriptor) as control:
        Server(control, staging).run()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv)
