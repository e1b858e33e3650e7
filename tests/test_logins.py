from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from captioner.ui import logins, server
from captioner.ui.logins import Logins


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_wrong_logins_take_ever_longer() -> None:
    clock = Clock()
    tried = Logins(clock)
    waits = []
    for _ in range(10):
        wait = tried.wait("192.0.2.1")
        waits.append(wait)
        clock.now += wait
        if wait:
            assert tried.wait("192.0.2.1") == 0
    assert waits == [0, 0, 0, 2, 4, 8, 16, 32, 60, 60]


def test_many_at_once_gain_nothing_and_others_do_not_wait() -> None:
    tried = Logins(Clock())
    assert [tried.wait("192.0.2.1") for _ in range(100)].count(0) == logins.FREE
    assert tried.wait("192.0.2.2") == 0
    for address in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2:3::"):
        assert tried.wait(address) == 0
    assert tried.wait("2001:db8:1:2::77") > 0  # the same network
    assert tried.wait("2001:db8:1:3::1") == 0
    assert tried.wait("::ffff:192.0.2.1") > 0  # the first in other clothes


def test_a_right_login_and_an_hour_are_a_new_beginning() -> None:
    clock = Clock()
    tried = Logins(clock)
    for _ in range(20):
        tried.wait("192.0.2.1")
    assert tried.wait("192.0.2.1") > 0
    tried.right("192.0.2.1")
    assert [tried.wait("192.0.2.1") for _ in range(3)] == [0, 0, 0]
    assert tried.wait("192.0.2.1") > 0
    clock.now += logins.FORGOTTEN + 1
    assert [tried.wait("192.0.2.1") for _ in range(3)] == [0, 0, 0]


def test_many_addresses_gain_little() -> None:
    clock = Clock()
    tried = Logins(clock)
    free = [number for number in range(1000) if tried.wait(f"2001:db8:{number:x}::1") == 0]
    assert free == list(range(logins.MOST_WRONG))
    assert tried.wait("192.0.2.1") == logins.EVERY
    clock.now += logins.EVERY
    assert tried.wait("192.0.2.1") == 0
    assert tried.wait("192.0.2.2") == logins.EVERY
    tried.right("192.0.2.1")  # which was no wrong one
    assert tried.wait("192.0.2.2") == 0
    clock.now += 10 * logins.MOST_WRONG * logins.EVERY
    assert [tried.wait(f"198.51.100.{n}") for n in range(150)].count(0) == logins.MOST_WRONG


def test_a_login_without_a_password_is_none() -> None:
    tried = Logins(Clock())
    for _ in range(10 * logins.MOST_WRONG):
        assert tried.wait("192.0.2.1") == 0
        tried.undone("192.0.2.1")
    assert [tried.wait("192.0.2.1") for _ in range(5)].count(0) == logins.FREE


def test_not_everybody_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_SENDERS", 5)
    tried = Logins(Clock())
    for number in range(50):
        tried.wait(f"192.0.2.{number}")
    assert len(tried.wrong) == 5


def test_the_page_slows_down_whoever_guesses() -> None:
    gr = pytest.importorskip("gradio")
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Markdown("in")
    app = server.create(
        lambda app: gr.mount_gradio_app(app, blocks, "/", auth=("ann", "secret")), hosts=()
    )

    with TestClient(app) as client:

        def login(password: str, path: str = "/login") -> tuple[int, str]:
            answer = client.post(path, data={"username": "ann", "password": password})
            return answer.status_code, answer.headers.get("retry-after", "")

        for _ in range(10):
            assert client.post("/login", data={"username": "ann"}).status_code == 422
        assert [login("wrong"), login("secret"), login("wrong", "/login/")] == [
            (400, ""),
            (200, ""),
            (400, ""),
        ]
        assert [login("guess")[0] for _ in range(5)] == [400, 400, 429, 429, 429]
        status, wait = login("secret")  # nor does the right one tell itself apart
        assert status == 429
        assert 0 < int(wait) <= 2
        answer = client.post("/login", data={"username": "ann", "password": "x"})
        assert answer.text.startswith("too many wrong logins; try again in ")


def test_a_path_below_itself_is_nowhere() -> None:
    gr = pytest.importorskip("gradio")
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Markdown("in")
    app = server.create(
        lambda app: gr.mount_gradio_app(
            app, blocks, "/", auth=("ann", "secret"), root_path="/captions"
        ),
        root_path="/captions",
    )
    wrong = {"username": "ann", "password": "x"}
    with TestClient(app) as client:
        twice = "/captions/captions"
        for _ in range(10):  # the wait for wrong logins was not for these
            assert client.post(f"{twice}/login", data=wrong).status_code == 404
        assert client.post("/captions/login", data={**wrong, "password": "secret"}).is_success
        for path in ("file=/etc/passwd", "proxy=https://a.hf.space", "deep_link", "info"):
            for method in ("GET", "POST"):
                for root in (twice, f"{twice}/captions"):
                    answer = client.request(method, f"{root}/gradio_api/{path}")
                    assert (answer.status_code, answer.text) == (404, "there is no such page")
        for root in (twice, f"{twice}/", f"{twice}/config"):
            assert client.get(root).status_code == 404
        assert client.get("/captions/config").is_success
        assert client.get("/config").is_success
