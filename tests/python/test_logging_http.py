"""Records to a server, by HTTP."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import lineshaft
from lineshaft import OptionError
from lineshaft.logging import configure, flush, status

log = lineshaft.get_logger("shop")


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    configure(level="warning")


class Server(ThreadingHTTPServer):
    """Keeps what it was sent; answers as it is told to, and 200 in the end."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port=0, answers=(), pause_s=0.0):
        super().__init__(("127.0.0.1", port), Answering)
        self.answers, self.pause_s = list(answers), pause_s
        self.requests = []
        """Headers, body and the answer, in the order of arrival."""
        self.connections = []

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def hang_up(self):
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/in"

    def taken(self):
        """The messages of what was answered with 200, in lines of JSON."""
        bodies = [body for _, body, answer in self.requests if answer == 200]
        return [json.loads(line)["message"] for body in bodies for line in body.splitlines()]


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        time.sleep(self.server.pause_s)
        self.server.requests.append((self.headers, body, answer))
        self.send_response(answer)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving(*args, context=None, **options):
    with Server(*args, **options) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.hang_up()
            thread.join()


def handler(url, **options):
    return {"kind": "http", "url": url, "batch_age": 0, **options}


def test_a_server_gets_records_in_lines(monkeypatch):
    monkeypatch.setenv("LOGS_TOKEN", "swordfish")
    with serving() as server:
        headers = {"Authorization": "Bearer ${LOGS_TOKEN}", "X-Tenant": "acme"}
        configure(level="info", handlers=[handler(server.url, headers=headers, batch_age="1h")])
        log.info("sent", to="ada", password="x")
        log.info("late")
        assert flush(timeout=30)
        [(headers, body, _)] = server.requests
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer swordfish", "acme")
    assert headers["content-type"] == "application/x-ndjson"
    first, second = (json.loads(line) for line in body.splitlines())
    assert first["fields"] == {"to": "ada", "password": "***"}
    assert second["message"] == "late"


def test_records_are_arrays_and_compressed():
    with serving() as server:
        options = {"format": "json_array", "compress": "gzip", "batch_records": 10, "batch_age": "1h"}
        configure(level="info", handlers=[handler(server.url, **options)])
        for number in range(25):
            log.info("n", number=number)
        assert flush(timeout=30)
        arrays = [json.loads(gzip.decompress(body)) for _, body, _ in server.requests]
    assert [record["fields"]["number"] for array in arrays for record in array] == list(range(25))
    assert all(len(array) <= 10 for array in arrays)


def test_collectors_of_opentelemetry_can_read_what_they_get():
    logs = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
    from google.protobuf import json_format

    with serving() as server:
        configure(level="trace", handlers=[handler(server.url, format="otlp", service="shop", batch_age="1h")])
        values = {"n": 2**40, "share": 0.5, "worst": float("-inf"), "ok": True, "none": None, "deep": {"a": [1, "b"]}}
        log.warning("late", **values)
        lineshaft.get_logger("other").trace("below")
        assert flush(timeout=30)
        [(headers, body, _)] = server.requests
    assert headers["content-type"] == "application/json"
    request = json_format.Parse(body, logs.ExportLogsServiceRequest())
    [resource] = request.resource_logs
    assert (resource.resource.attributes[0].key, resource.resource.attributes[0].value.string_value) == (
        "service.name",
        "shop",
    )
    first, second = resource.scope_logs
    assert (first.scope.name, second.scope.name) == ("shop", "other")
    record = first.log_records[0]
    assert (record.body.string_value, record.severity_number, record.severity_text) == ("late", 13, "warning")
    assert abs(record.time_unix_nano / 1e9 - time.time()) < 600
    attributes = {each.key: each.value for each in record.attributes}
    assert attributes["n"].int_value == 2**40
    assert (attributes["share"].double_value, attributes["worst"].double_value) == (0.5, float("-inf"))
    assert attributes["none"].WhichOneof("value") is None
    [pair] = attributes["deep"].kvlist_value.values
    assert [each.WhichOneof("value") for each in pair.value.array_value.values] == ["int_value", "string_value"]
    assert attributes["code.function.name"].string_value == "test_collectors_of_opentelemetry_can_read_what_they_get"


def test_a_server_that_fails_and_then_works_gets_each_record_once():
    with serving(answers=[500, 503, 500]) as server:
        configure(level="info", handlers=[handler(server.url)])
        for number in range(5_000):
            log.info(str(number))
        assert flush(timeout=60)
        assert server.taken() == [str(number) for number in range(5_000)]
        keys = [headers["idempotency-key"] for headers, _, _ in server.requests]
    assert len(set(keys)) == len(keys) - 3
    assert (status().handlers[0].handled, status().handlers[0].retries) == (5_000, 3)


def test_a_server_that_begins_anew_loses_nothing():
    with serving() as server:
        configure(level="info", handlers=[handler(server.url, timeout=5)])
        log.info("before")
        assert flush(timeout=30)
        port = server.server_port
    log.info("while it is away")
    assert not flush(timeout=0.2)
    with serving(port) as again:
        log.info("after")
        assert flush(timeout=30)
        assert server.taken() + again.taken() == ["before", "while it is away", "after"]


def test_a_slow_server_gets_more_at_once():
    with serving(pause_s=0.1) as server:
        configure(level="info", handlers=[handler(server.url)])
        for number in range(1_000):
            log.info(str(number))
            time.sleep(0.0005)
        assert flush(timeout=60)
        assert server.taken() == [str(number) for number in range(1_000)]
        assert len(server.requests) < 100


def test_what_a_server_that_hangs_has_no_room_for_is_counted():
    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
        configure(level="info", handlers=[handler(url, timeout="1h"), {"kind": "memory"}])
        for _ in range(400):
            log.info("x" * 100_000)
        assert not flush(timeout=5)
        [to_server, memory] = status().handlers
        assert memory.handled == 400
        assert to_server.lost > 0
        assert not to_server.is_healthy


def test_the_end_of_the_interpreter_sends_what_is_there():
    with serving() as server:
        script = (
            "import lineshaft, sys\n"
            "from lineshaft.logging import configure\n"
            "configure(handlers=[{'kind': 'http', 'url': sys.argv[1], 'batch_age': '1h'}])\n"
            "lineshaft.get_logger('app').info('last words')\n"
        )
        subprocess.run([sys.executable, "-c", script, server.url], check=True, timeout=120)
        assert server.taken() == ["last words"]


def test_a_server_is_known_by_its_certificate(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context=context) as server:
        url = f"https://localhost:{server.server_port}/in"
        configure(level="info", handlers=[handler(url)])
        log.info("to a stranger")
        assert not flush(timeout=1)
        assert server.requests == []
        configure(level="info", handlers=[handler(url, ca=certificate)])
        log.info("to a friend")
        assert flush(timeout=30)
        assert server.taken() == ["to a friend"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "url"),
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "http://ada:swordfish@example.org/"}, "Authorization"),
        ({"url": "http://x/", "headers": {"A": 1}}, "headers"),
        ({"url": "http://x/", "headers": {"Authorization": "Bearer ${NOT_SET_AT_ALL}"}}, "NOT_SET_AT_ALL"),
        ({"url": "http://x/", "headers": {"a b": "x"}}, "a b"),
        ({"url": "http://x/", "headers": {"X-Key": "sword\nfish"}}, "X-Key"),
        ({"url": "http://x/", "timeout": 0}, "timeout"),
        ({"url": "http://x/", "batch_age": "2h"}, "batch_age"),
        ({"url": "http://x/", "format": "xml"}, "format"),
    ],
)
def test_what_is_no_server_is_refused(options, said):
    with pytest.raises(OptionError) as error:
        configure(handlers=[{"kind": "http", **options}])
    assert said in str(error.value)
    assert "swordfish" not in str(error.value)
    assert "fish" not in str(error.value)


@pytest.mark.parametrize("url", ["HTTPS://ada:swordfish@h/", "ftp://h/?key=swordfish", "http://h/\udcff"])
def test_a_url_that_is_refused_is_not_shown(url):
    with pytest.raises(OptionError, match="option `url`") as error:
        configure(handlers=[handler(url)])
    assert "swordfish" not in str(error.value)


def test_the_usual_name_has_no_path_of_the_url():
    with serving() as server:
        configure(handlers=[handler(f"http://127.0.0.1:{server.server_port}/swordfish?key=swordfish")])
        assert status().handlers[0].name == f"http://127.0.0.1:{server.server_port}"
        configure(level="warning")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "\udcff"}, "option `name`"),
        ({"headers": {"X-Key": "\udcff"}}, "option `headers`"),
        ({"service": "\udcff", "format": "otlp"}, "option `service`"),
    ],
)
def test_what_is_no_text_is_refused(options, said):
    with pytest.raises(OptionError, match=said):
        configure(handlers=[handler("http://127.0.0.1:1/", **options)])
