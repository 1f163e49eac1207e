# ruff: noqa
"""Connects to this machine, the network, and sockets without a file.

class: escape
earns: all
"""

# %% double
import socket, urllib.request


def attempt(call):
    try:
        print("connected", call())
    except OSError as error:
        print(error)


for address in (("127.0.0.1", 22), ("127.0.0.1", 8888), ("169.254.169.254", 80), ("1.1.1.1", 53), ("10.0.0.1", 80)):
    attempt(lambda: socket.create_connection(address, timeout=0.2))
attempt(lambda: urllib.request.urlopen("http://example.org", timeout=0.2))
attempt(lambda: socket.getaddrinfo("example.org", 80))
for name in (
    "\0/tmp/.X11-unix/X0",
    "\0dbus",
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/dbus/system_bus_socket",
):
    attempt(lambda: socket.socket(socket.AF_UNIX).connect(name))
attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).bind((0, 0)))


def double(x):
    return 2 * x
