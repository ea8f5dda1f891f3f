"""Notifications for a service manager (sd_notify(3))."""

from __future__ import annotations


def notify(address: str, message: str) -> None:
    """Send a message to the socket of a service manager; a leading ``@`` means an abstract one."""
    # Few pods have a service manager, and for the others the module would be wasted memory.
    import _socket

    path = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        channel.connect(path)
        channel.send(message.encode())
        channel.close()
    except OSError:  # nobody listens any more
        pass
