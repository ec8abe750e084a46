"""Entry of the launcher process: `python -E -S -m launcher SOCKET_FD USER_NAMESPACE STAGING_DIRECTORY`."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
from pathlib import Path

from . import linux
from .server import Server


def main(argv: list[str]) -> None:
    """Serve start requests from the socket until its other end closes."""
    descriptor, user_namespace, staging = int(argv[1]), argv[2] == "1", argv[3]
    if user_namespace:
        try:
            linux.enter_user_namespace()
        except OSError as error:
            os._exit(error.errno or 1)  # told in this way, as nobody reads what is printed here
    if linux.AVAILABLE:
        linux.adopt_orphans()
    # What exists now is shared by every child: frozen, the collector does not touch (and so copy) its pages.
    gc.freeze()
    with socket.socket(fileno=descriptor) as control:
        Server(control, staging).run()
    with contextlib.suppress(OSError):
        Path(staging).rmdir()  # whoever made it may have been killed
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv)
