"""The network between heads, whose links can be cut."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time

import psutil

from rustray.driver.ports import free_ports


class Network:
    """Carries each head's connections, and holds them back where a link is cut: nothing is lost, only late."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[socket.socket, tuple[str, int]] = {}  # whose, and its own port
        self._cut: set[frozenset[str]] = set()
        self._taking = (
            threading.Lock()
        )  # held while bytes are taken from a head, so that none are after a cut
        self._pids: dict[str, int] = {}
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def listen(self) -> tuple[str, str]:
        """The address of a head, and where it has to bind."""
        place, own = free_ports(2)
        listener = socket.create_server(("127.0.0.1", place))
        address = f"127.0.0.1:{place}"
        self._listeners[listener] = address, own
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return address, f"127.0.0.1:{own}"

    def start(self) -> None:
        self._thread.start()

    def runs(self, address: str, pid: int) -> None:
        """Whose connections come from this process."""
        self._pids[address] = pid

    def cut(self, one: str, others: list[str]) -> None:
        with self._taking:
            self._cut |= {frozenset((one, other)) for other in others}

    def heal(self) -> None:
        self._cut = set()

    def close(self) -> None:
        self._ending = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _run(self) -> None:
        while not self._ending:
            for key, _mask in self._selector.select(0.02):
                key.data(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        came, (_host, port) = listener.accept()
        address, own_port = self._listeners[listener]
        dialer = self._dialer(port)
        if dialer is None:  # its process is not known yet, or it has hung up: it dials again
            came.close()
            return
        link = frozenset((address, dialer))
        try:
            onward = socket.create_connection(("127.0.0.1", own_port), timeout=1)
        except OSError:
            came.close()
            return
        for source, target in ((came, onward), (onward, came)):
            source.setblocking(True)
            self._selector.register(
                source, selectors.EVENT_READ, lambda ready, to=target, link=link: self._carry(ready, to, link)
            )

    def _dialer(self, port: int) -> str | None:
        for address, pid in list(self._pids.items()):
            with contextlib.suppress(psutil.Error):
                if any(c.laddr and c.laddr.port == port for c in psutil.Process(pid).net_connections("tcp4")):
                    return address
        return None

    def _carry(self, source: socket.socket, target: socket.socket, link: frozenset[str]) -> None:
        with self._taking:
            is_cut = link in self._cut
            try:
                data = b"" if is_cut else source.recv(1 << 16)
            except OSError:
                data = b""
        if is_cut:
            time.sleep(0.001)  # the selector tells again and again
            return
        try:
            if data:
                target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (source, target):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()
