import http.client
import json
import socket
import urllib.request

import pytest
from keras_sparse.search.report import collect, serving
from keras_sparse.search.report.server import AddressError, is_loopback


def ask(address, path="/", method="GET", **headers):
    port = int(address.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.fixture(scope="module")
def address(run):
    with serving(run, port=0) as found:
        yield found


def test_the_page_and_its_data(address, run):
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert 'data-live="true"' in text
    answer, body = ask(address, "/data.json")
    assert json.loads(body) == collect(run)
    again, empty = ask(address, "/data.json", If_None_Match=answer.headers["ETag"])
    assert (again.status, empty) == (304, b"")
    head, empty = ask(address, "/", "HEAD")
    assert (head.status, empty) == (200, b"")


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "//etc/passwd", "/%2e%2e/run.json", "/trials/0000.json", "/run.json", "/..", "/data.json/",
     "/\\..\\x"],
)  # fmt: skip
def test_no_file_is_served(address, path):
    answer, body = ask(address, path)
    assert answer.status == 404
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_reading(address, method):
    assert ask(address, "/", method)[0].status == 501


def test_a_host_name_that_is_not_ours_is_refused(address):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil"):
        assert ask(address, "/data.json", Host=host)[0].status == 403, host
    for host in ("localhost", "LOCALHOST:8420", "127.0.0.1", "[::1]:99"):
        assert ask(address, "/data.json", Host=host)[0].status == 200, host


def test_news_are_seen(make, tmp_path):
    folder = tmp_path / "later"
    with serving(folder, port=0) as address:
        first, body = ask(address, "/data.json")
        assert json.loads(body)["trials"] == []
        make.record(folder, 0)
        for _ in range(200):
            answer, body = ask(address, "/data.json", If_None_Match=first.headers["ETag"])
            if answer.status == 200:
                break
        assert [trial["trial"] for trial in json.loads(body)["trials"]] == [0]


def test_a_run_of_a_newer_version_is_told_and_the_server_goes_on(make, tmp_path):
    make.record(tmp_path, 0, schema=99)
    with serving(tmp_path, port=0) as address:
        answer, body = ask(address)
        assert answer.status == 503
        assert b"Update it" in body
        assert ask(address)[0].status == 503


def test_rubbish_does_not_stop_it(address):
    port = int(address.rstrip("/").rpartition(":")[2])
    for rubbish in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(rubbish)
    assert ask(address)[0].status == 200


def test_the_address(run):
    with serving(run, port=0) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(AddressError, match=f"port {port}") as caught, serving(run, port=port):
            pass
        assert caught.value.exit_code == 2
        # Only this machine's own network is listened on.
        with socket.socket() as other:
            other.settimeout(5)
            assert other.connect_ex(("127.0.0.2", port)) != 0
    with pytest.raises(AddressError, match="unknown"), serving(run, host="no.such.host.invalid", port=0):
        pass
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", port)) != 0  # it ends with the context


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.1.2.3")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.1", "example.org")))
