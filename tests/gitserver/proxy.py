"""An HTTP proxy that tunnels (CONNECT), may ask for a login, and may be told what passes."""

import base64
import contextlib
import select
import socket
import threading


class Proxy:
    """`passes` is called before each piece of data is passed on; what it raises closes that tunnel."""

    def __init__(self, login="", passes=lambda: None):
        self._login = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        self._passes = passes
        self.tunnels = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = []
        self._begin(self._accept)

    @property
    def address(self):
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(20)

    def _begin(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._begin(self._serve, client)

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            lines = head.decode().split("\r\n")
            sent = next((line.split(": ", 1)[1] for line in lines if line.lower().startswith("proxy-auth")), "")
            if self._login and sent != self._login:
                client.sendall(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
                return
            target = lines[0].split()[1]
            self.tunnels.append(target)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                self._tunnel(client, server)

    def _tunnel(self, client, server):
        other = {client: server, server: client}
        while True:
            for ready in select.select([client, server], [], [], 60)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                self._passes()
                other[ready].sendall(data)
