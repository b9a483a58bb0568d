"""One HTTP/2 request over cleartext with prior knowledge, both directions open at once: what `http.client` lacks."""

import json
import socket

import h2.config
import h2.connection
import h2.events


class Exchange:
    """A request whose body is written piece by piece while the response's is read line by line."""

    def __init__(self, address, path, headers, timeout=20):
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=timeout)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()
        self._stream = self._http.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", address), (":path", path)]
        self._http.send_headers(self._stream, pseudo + list(headers.items()))
        self._flush()
        self.headers, self._text, self._ended = None, b"", False

    def send(self, value):
        """Sends one message as a line of NDJSON."""
        self._http.send_data(self._stream, json.dumps(value).encode() + b"\n")
        self._flush()

    def end(self):
        self._http.end_stream(self._stream)
        self._flush()

    def line(self):
        """The next line of the response as JSON, or None at its end."""
        while b"\n" not in self._text and not self._ended:
            self._receive()
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line) if line.strip() else None

    def close(self):
        self._http.close_connection()
        self._flush()
        self._socket.close()

    def _receive(self):
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the connection ended before the response")
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self._text += event.data
                self._http.acknowledge_received_data(event.flow_controlled_length, self._stream)
            elif isinstance(event, h2.events.StreamEnded):
                self._ended = True
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise ConnectionError(f"{type(event).__name__}: {event.error_code}")
        self._flush()

    def _flush(self):
        data = self._http.data_to_send()
        if data:
            self._socket.sendall(data)
