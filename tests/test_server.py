from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import numpy as np
import pytest
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse
from PIL import Image
from starlette.testclient import TestClient

from captioner.checkpoint import Checkpoint
from captioner.confidence import Confidence, Regression
from captioner.errors import ConfigError, ImageError
from captioner.prediction import Captioner
from captioner.translation import Translation, Translator
from captioner.ui import answers, server
from captioner.ui.bodies import Limits
from captioner.ui.endpoints import Endpoints
from captioner.ui.painting import MOST_POINTS, MOST_STROKES
from captioner.ui.uploads import Uploads
from captioner.words import Word

SMALL = Limits(body_bytes=1000, upload_bytes=5000)


def _mount(app: FastAPI) -> None:
    """A small page: says what it got, takes files, and would fetch for anybody."""

    @app.post("/gradio_api/call")
    async def call(request: Request) -> dict[str, Any]:
        return {"got": await request.json()}

    @app.post("/gradio_api/upload")
    async def upload(files: list[UploadFile]) -> list[int]:
        return [len(await file.read()) for file in files]

    @app.get("/gradio_api/{rest:path}")
    def fetch(rest: str, request: Request) -> Any:
        if rest.startswith("file="):
            return FileResponse(rest.removeprefix("file="))
        return {"rest": rest, "query": request.url.query, "url": str(request.url)}

    @app.post("/gradio_api/run/told")
    async def told(request: Request) -> Any:
        """Tells what it got, bit by bit."""
        data = await request.body()
        return StreamingResponse((data[n : n + 1] for n in range(len(data))), media_type="text/csv")

    @app.get("/full")
    def full() -> Any:
        from fastapi import HTTPException

        raise HTTPException(503, "Queue is full. Max size is 32 and size is 32.")


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Uploads:
    return Uploads(tmp_path_factory.mktemp('a folder, "quoted" é'))


@pytest.fixture(scope="module")
def client(uploads: Uploads) -> Iterator[TestClient]:
    app = server.create(_mount, health=lambda: {"words": 17}, limits=SMALL, uploads=uploads)
    with TestClient(app) as found:
        yield found


@pytest.fixture
def dog(uploads: Uploads) -> Path:
    """A file among the uploads."""
    path = uploads.folder / "0a1b" / "dog.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a dog")
    return path


@pytest.fixture
def canary(uploads: Uploads) -> Path:
    """A file beside the uploads, and a link to it among them."""
    path = uploads.folder.parent / "secret.txt"
    path.write_text("hunter2")
    link = uploads.folder / "0a1b" / "link.txt"
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(path)
    return path


def test_health(client: TestClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "words": 17})


@pytest.mark.parametrize(
    "path",
    [
        "file=https://example.org/a.png",
        "file=http://127.0.0.1:1/",
        "file=HTTPS://example.org",
        "file=https:/example.org",
        "file=https%3A%2F%2Fexample.org",
        "file%3Dhttp://example.org",
        "file=%20http://example.org",
        "file/https://example.org",
        "file=ftp://example.org/a",
        "proxy=https://example.hf.space/a",
        "proxy=x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_nothing_is_fetched_for_anybody(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, f"/gradio_api/{path}")
    assert answer.status_code == 403
    if method != "HEAD":
        assert answer.text == "this server fetches nothing from other addresses"


@pytest.mark.parametrize("form", ["file=", "file/"])
def test_uploads_are_served_by_their_public_names(client: TestClient, dog: Path, form: str) -> None:
    assert client.get(f"/gradio_api/{form}uploads/0a1b/dog.jpg").content == b"a dog"


OUTSIDE = [
    "{canary}",
    "{folder}/../secret.txt",
    "uploads/../secret.txt",
    "uploads/0a1b/../../secret.txt",
    "uploads/0a1b/dog.jpg/../../../secret.txt",
    "uploads/{canary}",
    "uploads//{canary}",
    "uploads/0a1b/link.txt",
    "{folder}/0a1b/dog.jpg",
    "0a1b/dog.jpg",
    "/uploads/0a1b/dog.jpg",
    "uploads/0a1b",
    "uploads/",
    "uploads",
    "uploads/0a1b/gone.jpg",
    "uploads/0a1b/dog.jpg\0",
    "uploads/" + "x" * 260,
    "/etc/passwd",
    "/proc/self/environ",
    "C:/photos/dog.jpg",
    "~/.ssh/id_rsa",
    "..",
    "",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_other_file_is_served(
    client: TestClient, uploads: Uploads, dog: Path, canary: Path, name: str
) -> None:
    wanted = name.format(canary=canary, folder=uploads.folder)
    for escaped in (quote(wanted), quote(wanted, safe=""), quote(wanted).replace("..", "%2e%2e")):
        for form in ("file=", "file/"):
            answer = client.get(f"/gradio_api/{form}{escaped}")
            assert "hunter2" not in answer.text
            if ".." in wanted and answer.status_code == 403:  # the client walked the dots itself
                continue
            assert (answer.status_code, answer.text) == (
                404,
                "there is no such file among the uploads",
            )


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    "around",
    [
        lambda file: {"data": [file]},
        lambda file: {"data": [[[file]], None]},
        lambda file: {"data": [{"image": {"file": file}}]},
        lambda file: {"event_data": {"index": file}},
        lambda file: file,
    ],
)
def test_a_request_names_uploads_only(
    client: TestClient, uploads: Uploads, dog: Path, canary: Path, name: str, around: Any
) -> None:
    path = name.format(canary=canary, folder=uploads.folder)
    for file in (
        {"path": path},
        {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "dog.jpg", "size": 5},
        {"path": path, "is_stream": True, "url": "/gradio_api/file=uploads/0a1b/dog.jpg"},
        {"path": [path]},
        {"path": {"path": path}},
    ):
        body = json.dumps(around(file))
        for content in (
            body.encode(),
            body.encode("utf-16"),
            body.replace("p", "\\u0070").encode(),
        ):
            for kind in ("application/json", "text/plain", "multipart/form-data"):
                answer = client.post(
                    "/gradio_api/call", content=content, headers={"content-type": kind}
                )
                assert answer.status_code == 400
                assert "a file was given that is not among the uploads; upload it" in answer.text
    twice = f'{{"path": "uploads/0a1b/dog.jpg", "path": {json.dumps(path)}}}'
    assert client.post("/gradio_api/call", content=twice).status_code == 400


def test_a_photo_by_its_address_is_not_fetched(client: TestClient) -> None:
    address = {"path": "https://example.org/a.jpg", "meta": {"_type": "gradio.FileData"}}
    for body in (
        {"data": [address]},
        {"data": [[{"image": {"path": " HTTP://example.org"}}], None]},
        {"path": "http:example.org"},
        {"path": "file:///etc/passwd"},
    ):
        answer = client.post("/gradio_api/call", json=body)
        assert answer.status_code == 400
        assert answer.json()["detail"] == (
            "a photo was given by its address; this server fetches nothing: upload it"
        )
    escaped = '{"data": [{"\\u0070ath": "\\u0068ttps://example.org/a.jpg"}]}'
    headers = {"content-type": "application/json"}
    assert client.post("/gradio_api/call", content=escaped, headers=headers).status_code == 400
    for deep in ("[" * 120 + '"path"' + "]" * 120, "[" * 100_000):
        assert client.post(
            "/gradio_api/call", content=deep[:1000], headers=headers
        ).status_code in (400, 422)


def test_an_upload_is_known_by_its_public_name_alone(
    client: TestClient, uploads: Uploads, dog: Path
) -> None:
    file = {"path": "uploads/0a1b/dog.jpg", "url": "https://example.org", "orig_name": "dog.jpg"}
    named = {"path": "uploads/0a1b/dog.jpg", "orig_name": "dog.jpg"}
    answer = client.post("/gradio_api/call", json={"data": [file, {"path": None}]})
    assert answer.json() == {"got": {"data": [named, {"path": None}]}}
    asked = {"data": [file]}
    told = client.post(
        "/gradio_api/run/told", json=asked, headers={"content-type": "application/json"}
    )
    assert json.loads(told.text) == {"data": [named]}  # byte by byte, and yet no path
    assert str(dog) not in told.text


def test_other_requests_pass_unchanged(client: TestClient) -> None:
    body = {"data": [{"url": "https://example.org"}, "path: https://x", "é", "/etc/passwd"]}
    assert client.post("/gradio_api/call", json=body).json() == {"got": body}
    assert client.post("/gradio_api/upload", files={"files": b"x" * 70}).json() == [70]


@pytest.mark.parametrize(
    "spelling",
    [
        lambda path: path,
        lambda path: json.dumps(path),
        lambda path: json.dumps(path, ensure_ascii=False),
        lambda path: quote(path),
    ],
)
def test_no_answer_tells_where_the_uploads_lie(
    client: TestClient, uploads: Uploads, spelling: Any
) -> None:
    path = str(uploads.folder)
    said = f"before {path[:-1]} {spelling(path)}/dog.jpg after {path[:5]}"
    told = client.post("/gradio_api/run/told", content=said.encode()).text
    expected = said
    for form in (lambda p: p, lambda p: json.dumps(p)[1:-1], quote):
        expected = expected.replace(form(path), "uploads")
    expected = expected.replace(json.dumps(path, ensure_ascii=False)[1:-1], "uploads")
    assert told == expected
    assert "uploads/dog.jpg" in told.replace('"', "")


@pytest.mark.parametrize(
    "route",
    [
        *("deep_link", "dev/reload", "process_recording", "component_server", "stream/x/close"),
        *("vibe-code", "vibe-edit", "run-history/connect", "runs", "token", "api/caption", "mcp"),
        *("custom_component/x/client/component/index.js", "", "monitoring"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_the_page_does_not_need_is_shut(client: TestClient, route: str, method: str) -> None:
    answer = client.request(method, f"/gradio_api/{route}")
    assert answer.status_code == 403
    assert answer.text == "this is not open to visitors; docs/api.md says what is"


def test_requests_have_a_size(client: TestClient) -> None:
    refused = {"detail": "the request is larger than 0.000954 MB; send less at once"}
    answer = client.post("/gradio_api/call", json="x" * 1000)
    assert (answer.status_code, answer.json()) == (413, refused)
    assert client.post("/gradio_api/upload", files={"files": b"x" * 4000}).json() == [4000]
    assert client.post("/gradio_api/upload", files={"files": b"x" * 5000}).status_code == 413
    two = [("files", b"x" * 3000), ("files", b"y" * 3000)]
    assert client.post("/gradio_api/upload", files=two).status_code == 413


def test_a_request_cannot_lie_about_its_size(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'"'
        for _ in range(30):
            yield b"x" * 100
        yield b'"'

    json_headers = {"content-type": "application/json"}
    answer = client.post("/gradio_api/call", content=chunks(), headers=json_headers)
    assert answer.status_code == 413
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    form = iter([head, *[b"x" * 1000] * 9, b"\r\n--b--\r\n"])
    form_headers = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post("/gradio_api/upload", content=form, headers=form_headers).status_code == 413
    bad = {**json_headers, "content-length": "many"}
    assert client.post("/gradio_api/call", content=b"1", headers=bad).status_code == 413


def test_answers_are_dressed(client: TestClient) -> None:
    for answer in (client.get("/healthz"), client.get("/gradio_api/proxy=x"), client.get("/none")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "//" not in policy  # no foreign origin


def test_a_full_queue_says_when_to_come_back(client: TestClient) -> None:
    answer = client.get("/full")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("Queue is full")
    assert int(answer.headers["retry-after"]) > 0


OWN = "http://127.0.0.1:7860"
FOREIGN = [
    {"sec-fetch-site": "cross-site", "origin": "https://example.org"},
    {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:9999"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "same-origin, cross-site"},
    {"sec-fetch-site": ""},
    {"sec-fetch-site": "none", "origin": "http://127.0.0.1:9999"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://localhost:7860"},
    {"origin": "http://127.0.0.1"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": f"{OWN}.example.org"},
    {"origin": f"http://example.org@{OWN[7:]}"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_pages_cannot_use_it(client: TestClient, headers: dict[str, str]) -> None:
    sent = {"host": OWN[7:], **headers}
    for method, path in (
        ("POST", "/gradio_api/call"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("GET", "/config"),
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/queue/data"),
        ("GET", "/gradio_api/file=uploads/0a1b/dog.jpg"),
        ("OPTIONS", "/gradio_api/call"),
        ("PUT", "/"),
        ("POST", "/"),
    ):
        answer = client.request(method, path, headers=sent)
        assert (answer.status_code, answer.text) == (
            403,
            "this server does not work for other web pages",
        )
    assert client.get("/healthz", headers=sent).status_code == 200  # a link leads here


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a program
        {"sec-fetch-site": "none"},  # an address that was typed
        {"sec-fetch-site": "same-origin", "origin": OWN},
        {"origin": OWN},
        {"host": "LOCALHOST:7860", "origin": "http://localhost:7860"},
        {"host": "[::1]:7860", "origin": "http://[::1]:7860"},
        {"host": "captions.example", "origin": "https://captions.example"},
        {"host": "captions.example:443", "origin": "https://captions.example"},
    ],
)
def test_the_page_itself_and_programs_can(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/gradio_api/call", json=1, headers={"host": OWN[7:], **headers})
    assert answer.json() == {"got": 1}


def test_a_proxy_is_believed_where_there_is_one(client: TestClient, uploads: Uploads) -> None:
    asked = {"x-forwarded-host": "captions.example", "x-forwarded-proto": "https"}
    from_there = {**asked, "origin": "https://captions.example"}
    assert client.post("/gradio_api/call", json=1, headers=from_there).status_code == 403
    app = server.create(_mount, uploads=uploads, behind_proxy=True)
    with TestClient(app) as proxied:
        answer = proxied.post("/gradio_api/call", json=1, headers=from_there)
        assert answer.json() == {"got": 1}
        here = proxied.post("/gradio_api/run/told", content=answers.HERE, headers=asked)
        assert here.text == "https://captions.example"
        odd = {**asked, "x-forwarded-proto": 'x"><script>alert(1)</script>'}
        here = proxied.post("/gradio_api/run/told", content=answers.HERE, headers=odd)
        assert here.text == "http://captions.example"
        odd = {**asked, "x-forwarded-host": 'x"><script>'}
        assert proxied.get("/healthz", headers=odd).status_code == 421
    here = client.post("/gradio_api/run/told", content=answers.HERE, headers=asked)
    assert here.text == "http://testserver"


@pytest.mark.parametrize(
    "host",
    [
        *('x"><script>alert(1)</script>', "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "::1", ""),
        *("a:123456", "a\\b", "a?b", "a#b", "[::1]x"),
    ],
)
def test_a_host_is_a_name(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"host": host})
    assert (answer.status_code, answer.text) == (
        421,
        "the request's Host is no host name; use the page's address",
    )


def _asked(
    app: FastAPI,
    method: str,
    path: str,
    parts: Sequence[bytes] = (),
    kind: str = "application/json",
    stalled: bool = False,
) -> tuple[int, str, int]:
    """The status and the text of an answer, and how many parts of the body were read for it."""
    waiting, sent = [*parts], []

    async def receive() -> dict[str, Any]:
        if not waiting and stalled:
            await anyio.sleep_forever()
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": stalled or bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", kind.encode())],
        "client": ("192.0.2.1", 1),
        "scheme": "http",
        "http_version": "1.1",
    }
    anyio.run(app, scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], text, len(parts) - len(waiting)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("/", "/call", "/healthz", "/gradio_api/info", "/upload")),
        *(("POST", path) for path in ("/gradio_api/app_id", "/config", "/gradio_api")),
        *(("PUT", "/gradio_api/call"), ("DELETE", "/gradio_api/queue/join"), ("OPTIONS", "/")),
    ],
)
def test_nothing_is_read_where_nothing_is_taken(method: str, path: str) -> None:
    status, text, read = _asked(server.create(_mount), method, path, [b"[" * 1000] * 3)
    assert (status in (403, 405), read) == (True, 0)
    if status == 405:
        said = "nothing can be sent to this address; docs/api.md says what is open to visitors"
        assert json.loads(text) == {"detail": said}


@pytest.mark.parametrize(
    "body", [b"[" + b"[]," * 60_000 + b"1]", b'{"a":' * 100_001, b"[" + b"1," * 100_001 + b"1]"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_a_request_holds_not_too_many_values(
    monkeypatch: pytest.MonkeyPatch, body: bytes, encoding: str
) -> None:
    app = server.create(_mount)
    monkeypatch.setattr(json, "loads", lambda body, **_: pytest.fail("it was read"))
    status, text, _ = _asked(app, "POST", "/gradio_api/call", [body.decode().encode(encoding)])
    assert (status, text) == (
        400,
        '{"detail":"the request holds more than 100000 values; send less at once"}',
    )


def test_a_full_painting_is_not_too_many_values(uploads: Uploads) -> None:
    points = [[0.123456789, 0.987654321]] * 50
    strokes = [{"radius": 0.1, "points": points}] * MOST_STROKES
    assert MOST_STROKES * 50 == MOST_POINTS
    body = json.dumps({"event_data": {"strokes": strokes}}).encode()
    assert _asked(server.create(_mount), "POST", "/gradio_api/call", [body])[0] == 200


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-" + "9" * 400 + ".0"]
)
def test_a_request_holds_finite_numbers(client: TestClient, number: str) -> None:
    """Python's JSON has signs for what is no number, and no answer could hold them."""
    body = f'{{"data": [[{number}]]}}'
    headers = {"content-type": "application/json"}
    answer = client.post("/gradio_api/call", content=body, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        f"the request holds {number[:20]}; expected finite numbers",
    )


def test_a_request_is_read_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, uploads: Uploads
) -> None:
    threads = []
    loads = json.loads

    def told(body: bytes, **how: Any) -> Any:
        threads.append(threading.current_thread())
        return loads(body, **how)

    monkeypatch.setattr(json, "loads", told)
    assert _asked(server.create(_mount), "POST", "/gradio_api/call", [b"[1]"])[0] == 200
    assert threads[0] is not threading.main_thread()  # where all visitors are served


def test_a_request_names_not_too_many_files(
    client: TestClient, dog: Path, uploads: Uploads
) -> None:
    file = {"path": "uploads/0a1b/dog.jpg"}
    with TestClient(server.create(_mount, uploads=uploads)) as wide:
        assert wide.post("/gradio_api/call", json=[file] * 250).status_code == 200
        answer = wide.post("/gradio_api/call", json={"data": [[file] * 251]})
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "the request names 251 files, at most 250 are taken; send fewer at once",
        )


def test_all_requests_together_have_a_size() -> None:
    app = server.create(_mount, limits=Limits(all_bytes=2000))
    for _ in range(3):  # and what one held is free again
        status, text, read = _asked(app, "POST", "/gradio_api/call", [b"x" * 500] * 9)
        assert (status, read) == (503, 5)
        assert "too many requests are being read; try again" in text
        assert _asked(app, "POST", "/gradio_api/call", [b'"', b"x" * 1900, b'"'])[0] == 200


def test_a_request_has_a_time() -> None:
    app = server.create(_mount, limits=Limits(seconds=0.05))
    status, text, _ = _asked(app, "POST", "/gradio_api/call", [b"[1,"], stalled=True)
    assert (status, json.loads(text)["detail"]) == (
        408,
        "the request took longer than 0.05 seconds to come; send it at once",
    )


def _form(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + body + b"\r\n"
        for head, body in parts
    )


def test_a_field_without_a_file_name_is_small(uploads: Uploads) -> None:
    app = server.create(_mount, uploads=uploads)
    kind = "multipart/form-data; boundary=b"
    file = ('name="files"; filename="a"', b"x" * 100_000)
    passes = _form(("name=a", b"y" * 16_000), file) + b"--b--\r\n"
    assert _asked(app, "POST", "/gradio_api/upload", [passes], kind)[0] == 200
    for parts in ([("name=a", b"y" * 17_000)], [("name=a", b"y" * 6000)] * 3):
        body = _form(file, *parts)
        whole = [body[start : start + 999] for start in range(0, len(body), 999)]
        status, text, _ = _asked(app, "POST", "/gradio_api/upload", whole, kind)
        assert status == 413
        assert "the form's fields are larger than 16 kB; a file needs a file name" in text


def test_the_folder_does_not_grow_for_ever(tmp_path: Path) -> None:
    (tmp_path / "0a1b").mkdir()
    (tmp_path / "0a1b" / "dog.jpg").write_bytes(b"x" * 600)
    left = tmp_path / "tmpabc"
    left.write_bytes(b"x" * 600)
    app = server.create(_mount, uploads=Uploads(tmp_path), limits=Limits(folder_bytes=1000))
    with TestClient(app) as found:
        full = found.post("/gradio_api/upload", files={"files": b"x"})
        assert (full.status_code, full.text) == (
            507,
            "the page holds as many files as it may; try again in an hour",
        )
        os.utime(left, (0, 0))  # it was cut off long ago
        assert found.post("/gradio_api/upload", files={"files": b"x"}).status_code == 200
    assert not left.exists()


def test_not_everybody_keeps_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    configs = []
    monkeypatch.setattr(server.uvicorn.Server, "run", lambda self, sockets: configs.append(self))
    server.serve(FastAPI(), "127.0.0.1", 0)
    assert configs[0].config.limit_concurrency == 256


def test_gradios_word_for_other_pages_goes() -> None:
    def mount(app: FastAPI) -> None:
        @app.get("/")
        def home() -> Any:
            spoken = {
                "Access-Control-Allow-Origin": "http://localhost:9999",
                "access-control-allow-credentials": "true",
            }
            return Response("home", headers=spoken)

    answer = TestClient(server.create(mount)).get("/")
    assert answer.text == "home"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "127.0.0.1:7860", 200),
        ("127.0.0.1", "LOCALHOST:7860", 200),
        ("::1", "[::1]:7860", 200),
        ("localhost", "evil.example", 421),
        ("127.0.0.1", "127.0.0.1.evil.example:7860", 421),
        ("127.0.0.1", "", 421),
        ("0.0.0.0", "captions.example", 200),
    ],
)
def test_loopback_answers_to_its_own_names(host: str, name: str, status: int) -> None:
    app = server.create(_mount, hosts=server.hosts_of(host))
    assert TestClient(app).get("/healthz", headers={"host": name}).status_code == status


def test_a_taken_port_is_told() -> None:
    with server.bound("127.0.0.1", 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            server.bound("127.0.0.1", port)
        message = f"cannot listen on 127.0.0.1, port {port} (Address already in use); choose an"
        assert str(caught.value).startswith(message)
        with pytest.raises(ConfigError, match="choose another --host or --port"):
            server.serve(FastAPI(), "127.0.0.1", port)
    with pytest.raises(ConfigError, match="port is 70000; expected 1 to 65535"):
        server.bound("127.0.0.1", 70000)
    with pytest.raises(ConfigError, match="cannot listen on no host, port 0"):
        server.bound("no host", 0)


# The functions behind the endpoints


@pytest.fixture(scope="module")
def endpoints(tiny_captioner: Captioner) -> Endpoints:
    return Endpoints(tiny_captioner)


@pytest.fixture
def photo(picture: Image.Image, tmp_path: Path) -> str:
    path = tmp_path / "upload" / "dog.png"
    path.parent.mkdir()
    picture.save(path)
    return str(path)


def test_caption(endpoints: Endpoints, tiny_captioner: Captioner, photo: str) -> None:
    values = endpoints.caption(photo, n_best=3.0)
    assert values["file"] == "dog.png"
    assert values["caption"] == tiny_captioner(photo).text
    assert len(values["n_best"]) == 2
    assert len(values["maps"]) == len(values["words"])
    assert "maps" not in endpoints.caption(photo, maps=False)
    short = endpoints.caption(photo, beam_size=1, max_length=2)
    assert len(short["words"]) <= 2
    json.dumps(values, allow_nan=False)


def test_a_calibrated_captioner_tells_how_sure_it_is(
    tiny_checkpoint: Checkpoint, photo: str
) -> None:
    never = Regression(-3.0, {})
    doubt = Confidence(never, never, 0.5, 0.0, 9, 0.0, 9, 1.0, "for tests")
    doubtful = Endpoints(Captioner(dataclasses.replace(tiny_checkpoint, confidence=doubt)))
    one = doubtful.caption(photo)
    (batch,) = doubtful.caption_batch([photo], [False])
    for values in (one, batch[0]):
        assert values["confidence"] == pytest.approx(doubt.of({}), rel=1e-3)
        assert values["unsure"] is True
    assert not doubtful.explain(photo, "A dog.").keys() & {"confidence", "unsure"}


def test_explain(endpoints: Endpoints, photo: str) -> None:
    values = endpoints.explain(photo, "The zebra runs!")
    assert [word["word"] for word in values["words"]] == ["the", "zebra", "runs"]
    assert values["words"][1]["unknown"] is True
    json.dumps(values, allow_nan=False)


def test_a_batch_equals_one_by_one(endpoints: Endpoints, photo: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    (found,) = endpoints.caption_batch([photo, str(bad), None, photo], [True, True, True, False])
    assert [value.get("error") is None for value in found] == [True, False, False, True]
    alone = endpoints.caption(photo)
    assert found[0]["caption"] == alone["caption"]
    np.testing.assert_allclose(found[0]["maps"], alone["maps"], atol=1e-3)
    assert "maps" not in found[3]
    assert found[1]["error"].startswith("bad.jpg: ")
    assert found[2] == {"error": "no photo was given; upload one and send its path"}
    assert endpoints.caption_batch([None], [True])[0][0]["error"]


def test_a_second_question_about_a_photo_encodes_nothing(
    endpoints: Endpoints, tiny_captioner: Captioner, photo: str
) -> None:
    encoded: list[int] = []
    hook = tiny_captioner.model.encoder.register_forward_pre_hook(lambda *_: encoded.append(1))
    try:
        first = endpoints.caption(photo)
        assert endpoints.caption(photo, beam_size=3) == first
        assert endpoints.explain(photo, "a dog")["caption"] == "A dog."
        assert encoded == [1]
        Image.new("RGB", (41, 37), "red").save(photo)  # another photo of that name
        assert endpoints.caption(photo)["error"] is None
        assert encoded == [1, 1]
    finally:
        hook.remove()


class _Counting:
    """A captioner that notes how many photos came together."""

    def __init__(self, captioner: Captioner) -> None:
        self.captioner, self.sizes = captioner, []

    def stream(self, photos: Sequence[str], **settings: Any) -> Any:
        self.sizes.append((len(photos), settings["batch_size"]))
        return self.captioner.stream(photos, **settings)


def test_waiting_requests_are_computed_together(tiny_captioner: Captioner, photo: str) -> None:
    counting = _Counting(tiny_captioner)
    Endpoints(counting).caption_batch([photo] * 5, [False] * 5)  # type: ignore[arg-type]
    assert counting.sizes == [(5, 5)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0; expected a whole number from 1 to 20"),
        ({"beam_size": 2.5}, "beam_size is 2.5; expected a whole number"),
        ({"beam_size": 10**9}, "beam_size is 1000000000; expected"),
        ({"beam_size": float("nan")}, "beam_size is nan; expected"),
        ({"max_length": "9"}, "max_length is '9'; expected a whole number from 1 to 50"),
        ({"beam_size": 2, "n_best": 3}, "n_best 3 is more than beam_size 2 can find"),
    ],
)
def test_wrong_settings_are_told(
    endpoints: Endpoints, photo: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoints.caption(photo, **settings)
    assert str(caught.value).startswith(message)


def test_errors_name_no_folder(endpoints: Endpoints, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    for call in (lambda: endpoints.caption(str(bad)), lambda: endpoints.explain(str(bad), "a dog")):
        with pytest.raises(ImageError) as caught:
            call()
        assert str(caught.value).startswith("bad.jpg: ")
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ImageError, match="no photo was given"):
        endpoints.caption(None)
    with pytest.raises(ConfigError, match="sentence is empty; expected a sentence"):
        endpoints.explain(str(bad), " ")
    with pytest.raises(ConfigError, match="sentence has 1001 characters; expected at most 1000"):
        endpoints.explain(str(bad), "a" * 1001)


def _translated(text: str, to: str, source_language: str | None) -> Translation:
    alignment = np.full((2, 2), 0.5, np.float32)
    words = (Word("Ein", 0.5, -0.693), Word("Hund", 0.25, -1.386))
    end = np.zeros(2, np.float32)
    language = source_language or "en"
    return Translation(
        "Ein Hund",
        ("A", "dog"),
        words,
        alignment,
        end,
        -2.08,
        source=text,
        source_language=language,
        target_language=to,
    )


def test_translate(endpoints: Endpoints, tiny_captioner: Captioner, photo: str) -> None:
    speaking = Endpoints(tiny_captioner, _translated)
    values = speaking.translate("A dog", "de", "")
    assert (values["translation"], values["from"], values["to"]) == ("Ein Hund", "en", "de")
    assert values["alignment"] == [[0.5, 0.5]] * 2
    assert speaking.translate("Un chien", "de", "fr")["from"] == "fr"
    with pytest.raises(ConfigError, match="to is empty; expected the code of a language"):
        speaking.translate("A dog", None)
    with pytest.raises(ConfigError, match="text is empty; expected a sentence"):
        speaking.translate("", "de")
    for call in (
        lambda: endpoints.translate("A dog", "de"),
        lambda: endpoints.caption(photo, to="de"),
    ):
        with pytest.raises(ConfigError, match="the weights for translation are not there"):
            call()


def test_translate_says_all_sentences_and_what_not_to_rely_on(
    tiny_captioner: Captioner, tiny_translator: Translator, phrases: dict[str, tuple[str, ...]]
) -> None:
    speaking = Endpoints(tiny_captioner, tiny_translator)
    values = speaking.translate(" ".join(phrases["en"][:3]), "de")
    assert values["translation"] == " ".join(phrases["de"][:3])
    assert len(values["alignment"]) == len(values["words"])
    assert values["warning"] is None
    with pytest.raises(ConfigError, match=r"'\.{4}' has no words to translate; write a sentence"):
        speaking.translate("....", "de")
    with pytest.raises(ConfigError, match="the sentences are in 'de' already; name another"):
        speaking.translate("Ein Hund", "de", "de")


def test_captions_stay_in_their_own_language(
    tiny_captioner: Captioner, tiny_translator: Translator, photo: str
) -> None:
    captioner = Captioner(tiny_captioner.checkpoint, translator=tiny_translator)
    with pytest.raises(ConfigError, match="the captions are in 'en' already; leave the language"):
        Endpoints(captioner, tiny_translator).caption(photo, to="en")


# With Gradio behind it


@dataclasses.dataclass
class _Model:
    """What every request of the page below runs: one at a time, the first when it may."""

    may: threading.Event
    batches: list[list[str]]

    def wait(self) -> None:
        self.may.wait(60)

    def together(self, texts: list[str]) -> tuple[list[dict[str, str]]]:
        self.batches.append(texts)
        return ([{"said": text.upper()} for text in texts],)


@pytest.fixture(scope="module")
def model() -> _Model:
    return _Model(threading.Event(), [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Gradio's folder for the page below."""
    found = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(found))
        yield found


@pytest.fixture(scope="module")
def page(model: _Model, folder: Path) -> Iterator[TestClient]:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as blocks:
        source, text, shown = gr.File(), gr.Textbox(), gr.JSON()
        source.change(lambda path: Path(path).name, source, shown, api_name="name")
        one = {"concurrency_id": "model", "concurrency_limit": 1}
        gr.Button().click(model.wait, None, None, api_name="wait", **one)
        gr.Button().click(
            model.together, text, shown, api_name="batch", batch=True, max_batch_size=16, **one
        )
    blocks.queue(max_size=8)

    def mount(app: FastAPI) -> None:
        gr.mount_gradio_app(
            app, blocks, "/", show_error=False, max_file_size=3000, run_history=False
        )

    app = server.create(mount, limits=SMALL, uploads=Uploads(folder))
    with TestClient(app, base_url="http://127.0.0.1") as found:
        yield found
        model.may.set()


def test_gradio_lies_behind_the_guard(page: TestClient) -> None:
    home = page.get("/")
    assert home.status_code == 200
    assert "content-security-policy" in home.headers
    assert page.get("/healthz").json() == {"status": "ok"}
    assert page.get("/gradio_api/file=https://example.org/a.png").status_code == 403
    assert page.get("/gradio_api/proxy=https://example.hf.space/a").status_code == 403
    file = {"path": "https://example.org/a.png", "meta": {"_type": "gradio.FileData"}}
    assert page.post("/gradio_api/call/name", json={"data": [file]}).status_code == 400


def test_gradio_refuses_large_uploads(page: TestClient) -> None:
    uploaded = page.post("/gradio_api/upload", files={"files": ("dog.jpg", b"x" * 2000)})
    assert uploaded.status_code == 200
    file = {"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}
    assert "event_id" in page.post("/gradio_api/call/name", json={"data": [file]}).json()
    too_large = page.post("/gradio_api/upload", files={"files": ("dog.jpg", b"x" * 4000)})
    assert too_large.status_code == 413
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    form = iter([head, *[b"x" * 1000] * 2, b"\r\n", head, *[b"x" * 1000] * 5, b"\r\n--b--\r\n"])
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert page.post("/gradio_api/upload", content=form, headers=headers).status_code == 413


def test_waiting_requests_meet_and_a_full_queue_says_so(page: TestClient, model: _Model) -> None:
    first = page.post("/gradio_api/call/wait", json={"data": []})
    assert first.status_code == 200
    sent = [page.post("/gradio_api/call/batch", json={"data": [f"text {n}"]}) for n in range(40)]
    taken = [answer for answer in sent if answer.status_code == 200]
    assert 8 <= len(taken) < 11  # eight wait; one or two may be on their way
    for answer in sent[len(taken) :]:
        assert answer.status_code == 503
        assert answer.json()["detail"] == "Queue is full. Max size is 8 and size is 8."
        assert "retry-after" in answer.headers
    model.may.set()
    for number, answer in enumerate(taken):  # everybody gets their own
        events = page.get(f"/gradio_api/call/batch/{answer.json()['event_id']}").text
        assert f'event: complete\ndata: [{{"said": "TEXT {number}"}}]' in events
    assert max(map(len, model.batches)) >= 6
