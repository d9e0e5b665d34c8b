"""Where the server listens. Nothing slow is imported here: a taken port is told before anything is loaded."""

import socket

from quant.errors import IloraError


class ServeError(IloraError):
    """The server cannot serve where or what it was asked to."""


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: a taken port is told before minutes of loading, not after.

    Raises:
        ServeError: the address is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ServeError(
            f'"{host}" is no address of this machine: use --host 127.0.0.1 or 0.0.0.0.'
        ) from error
    reserved = socket.socket(family, kind, protocol)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind(address)
    except OSError as error:
        reserved.close()
        raise _not_free(host, port, error) from error
    return reserved


def listen(reserved: socket.socket) -> str:
    """Begin to listen on a reserved socket; returns the address for a browser. Raises ServeError."""
    host, port = reserved.getsockname()[:2]
    try:
        reserved.listen(128)
    except OSError as error:  # somebody else was loading for the same port, and was faster
        raise _not_free(host, port, error) from error
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _not_free(host: str, port: int, error: OSError) -> ServeError:
    return ServeError(
        f"Cannot listen on {host}:{port} ({error.strerror}): stop what does, or choose another --port."
    )
