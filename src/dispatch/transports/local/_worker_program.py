"""A program, not a module: a worker process from its first line on.

Its parent says where modules are found before anything is imported from there.
"""

import json
import socket
import sys


def main(descriptor: int) -> None:
    """Serve the parent at the other end of the socket `descriptor` until it has no more work."""
    sock = socket.socket(fileno=descriptor)
    sock.set_inheritable(False)
    length = int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "big")
    told = json.loads(sock.recv(length, socket.MSG_WAITALL))
    sys.path[:], sys.argv[:] = told["path"], told["argv"]

    from dispatch.transports.local._serving import serve  # noqa: PLC0415 - found on the parent's path

    serve(sock, told["parent"], max_tasks=told["max_tasks"], max_memory=told["max_memory"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
