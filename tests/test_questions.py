"""What strangers ask wrongly over HTTP, and the one line that each of them is told."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from captioner.ui.questions import Event, Questions

TAKES = {"text": True, "to": True, "source": False}
TOLD = [
    # the address, what is sent there, the status and what is said
    ("call/v2/speak", {"text": "a"}, 404, "no endpoint '/speak'; there are /tell and /translate"),
    ("call/v2/translate", {"words": 1}, 400, "takes text, to, source; 'words' is none of them"),
    ("call/v2/translate", {"text": "a"}, 400, "takes text, to, source; to is missing"),
    ("call/v2/translate", {"text": "a", "to": "de"}, 200, ""),
    ("call/v2/_own", {}, 404, "no endpoint '/_own'"),
    ("call/v2", {}, 404, "no endpoint '/'"),
    ("call/speak", {"data": []}, 404, "no endpoint '/speak'"),
    ("run/speak", {"data": []}, 404, "no endpoint '/speak'"),
    ("call/translate", {"data": ["a"]}, 400, "takes 3 values (text, to, source); 1 came"),
    ("call/translate", {"data": [1] * 8}, 400, "takes 3 values (text, to, source); 8 came"),
    ("call/translate", {"data": "a"}, 400, "/translate takes a list of values as its data"),
    ("call/translate", {}, 400, "/translate takes a list of values as its data"),
    ("call/translate", [1], 400, "the request holds no JSON object"),
    ("call/translate", None, 400, "the request holds no JSON object"),
    ("call/translate", {"data": ["a", "de", "en"]}, 200, ""),
    ("call/_own", {"data": ["seen"]}, 200, ""),  # what the server keeps may be left out
    ("queue/join", {"fn_index": 99, "data": []}, 404, "there is no event fn_index 99"),
    ("queue/join", {"fn_index": "x", "data": []}, 404, "there is no event fn_index 'x'"),
    ("queue/join", {"fn_index": True, "data": []}, 404, "there is no event fn_index True"),
    ("queue/join", {"data": []}, 404, "there is no event fn_index None"),
    ("queue/join", {"fn_index": 1, "data": ["a"]}, 400, "session_hash is missing"),
    (
        "queue/join",
        {"fn_index": 1, "session_hash": "s", "data": [1] * 3},
        400,
        "event 1 takes 2 values; 3 came",
    ),
    ("queue/join", {"fn_index": 1, "session_hash": "s", "data": [None, "seen"]}, 200, ""),
    ("queue/status", None, 200, ""),
    ("call/_told", {"data": []}, 404, "/_told is for the page alone; docs/api.md says what"),
    *(
        ("queue/join", {"fn_index": 2, "session_hash": "s", "data": [], **more}, 400, said)
        for more, said in (
            ({}, "event 2 takes an object as its event_data; None came"),
            ({"event_data": []}, "event 2 takes an object as its event_data; [] came"),
            ({"event_data": "x" * 999}, "event 2 takes an object as its event_data; 'xxx"),
        )
    ),
    (
        "queue/join",
        {"fn_index": 2, "session_hash": "s", "data": [], "event_data": {"index": 1}},
        200,
        "",
    ),
    *(
        (
            path,
            {"fn_index": 1, "session_hash": visit, "data": [1]},
            400,
            f"session_hash is {said}; expected a text of at most 64 characters",
        )
        for path in ("queue/join", "call/_own")
        for visit, said in (
            ("", "''"),
            (7, "7"),
            ([], "[]"),
            ("x" * 65, f"'{'x' * 58}…"),
        )
    ),
]


def _scope(path: str, method: str = "POST") -> dict[str, Any]:
    address, _, query = path.partition("?")
    return {
        "method": method,
        "path": f"/gradio_api/{address}",
        "query_string": query.encode(),
    }


@pytest.fixture
def questions() -> Questions:
    events = {
        "translate": Event(TAKES, frozenset((3,))),
        "tell": Event({}, frozenset((0,))),
        "_own": Event(None, frozenset((1, 2))),
        "_told": Event(None, frozenset((0,)), told=True),
    }
    numbers = {0: events["translate"], 1: events["_own"], 2: events["_told"]}
    return Questions(dict(sorted(events.items())), numbers, "ab".__contains__, visits="s".__eq__)


@pytest.mark.parametrize(("path", "values", "status", "said"), TOLD)
def test_what_no_event_can_be_started_with_is_told(
    questions: Questions, path: str, values: Any, status: int, said: str
) -> None:
    scope = _scope(path)
    assert questions.is_one(scope)
    if status == 200:
        questions.check(scope, values)
        return
    with pytest.raises(HTTPException) as caught:
        questions.check(scope, values)
    assert caught.value.status_code == status
    assert said in caught.value.detail
    assert len(caught.value.detail.splitlines()) == 1


def test_an_answer_is_handed_out_once(questions: Questions) -> None:
    first = _scope("call/v2/translate/a", "GET")
    questions.check_answer(first)
    with questions.handing_out(first):
        with pytest.raises(HTTPException, match="409: this answer is being handed out"):
            questions.check_answer(_scope("call/translate/a", "GET"))
        questions.check_answer(_scope("call/translate/b", "GET"))
    questions.check_answer(first)  # whoever was cut off may come again
    with pytest.raises(HTTPException, match="404: there is no such answer"):
        questions.check_answer(_scope("call/translate/nobody's", "GET"))
    for other in ("call/translate", "info", "queue/data"):
        questions.check_answer(_scope(other, "GET"))


def test_who_listens_has_asked(questions: Questions) -> None:
    questions.check_answer(_scope("queue/data?session_hash=s", "GET"))
    with pytest.raises(HTTPException, match="404: nothing was asked in this visit; ask"):
        questions.check_answer(_scope("queue/data?session_hash=nobody", "GET"))


@pytest.fixture(scope="module")
def stranger(tiny_captioner: Any) -> Any:
    """The page as it is served, to somebody with nothing but HTTP."""
    pytest.importorskip("gradio")
    from fastapi.testclient import TestClient

    from captioner.ui import app

    with TestClient(app.serving(tiny_captioner)) as client:
        yield client


def test_a_second_request_for_an_answer_does_not_wait_for_ever(stranger: Any) -> None:
    asked = stranger.post("/gradio_api/call/v2/caption", json={"photo": None}).json()
    address = f"/gradio_api/call/v2/caption/{asked['event_id']}"
    assert "no photo was given" in stranger.get(address).text
    told: list[Any] = []
    threading.Thread(target=lambda: told.append(stranger.get(address)), daemon=True).start()
    for _ in range(600):
        if told:
            break
        threading.Event().wait(0.1)
    (again,) = told
    assert (again.status_code, again.text.partition(":")[0]) == (404, "there is no such answer")
    assert stranger.get("/gradio_api/call/caption/0123").status_code == 404


@pytest.mark.parametrize(
    ("endpoint", "inputs", "said"),
    [
        *(
            (name, {"photo": value}, f"a photo was expected, but {kind} came; upload one and send")
            for name in ("caption", "caption_batch")
            for value, kind in (
                (7, "a number"),
                ("x", "a text"),
                ([], "a list"),
                (True, "true or false"),
            )
        ),
        ("caption", {"photo": {"path": None, "size": "x"}}, "what came names no upload"),
        ("caption", {"photo": None, "maps": "no"}, "maps is a text; expected true or false"),
        ("caption", {"photo": None, "maps": None}, "maps is nothing; expected true or false"),
        ("caption_batch", {"photo": None, "maps": 1}, "maps is a number; expected true or false"),
        ("explain", {"photo": None, "sentence": "\0"}, "sentence is empty; expected a sentence"),
        ("explain", {"photo": None, "sentence": "\u202e\xad"}, "sentence is empty; expected a"),
    ],
)
def test_a_value_of_a_wrong_type_is_told(
    stranger: Any, endpoint: str, inputs: dict[str, Any], said: str
) -> None:
    asked = stranger.post(f"/gradio_api/call/v2/{endpoint}", json=inputs)
    events = stranger.get(f"/gradio_api/call/v2/{endpoint}/{asked.json()['event_id']}").text
    last = json.loads(events.rstrip().rpartition("data: ")[2])
    assert said in (last["error"] if isinstance(last, dict) else last[0]["error"])


def _told(stranger: Any, name: str, data: list[Any], **more: Any) -> str:
    asked = stranger.post(f"/gradio_api/call/{name}", json={"data": data, **more})
    assert asked.status_code == 200, asked.text
    return str(stranger.get(f"/gradio_api/call/{name}/{asked.json()['event_id']}").text)


CONTROLS = [1, 1, False, 9, False, 0.9, 1, 0]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("_many", [7], "a list of files was expected, but a number came; upload them"),
        ("_import", [7, None, None], "a file was expected, but a number came; upload one and send"),
        ("_import", [None, [], None], "a file was expected, but a list came; upload one and send"),
        ("_import", [{}, None, None], "a file was expected, but what came names no upload"),
        ("_html", [None, [1], ""], "a drawing was expected, but a list came; send what was drawn"),
        ("_csv", [None, "x"], "a drawing was expected, but a text came; send what was drawn"),
        ("_write", [None, None, "", 0, *CONTROLS[1:]], "beam_size is 0; expected a number from 1"),
        ("_write", [None, None, "", *CONTROLS[:7], -1], "seed is -1; expected a number from 0 to"),
        ("_restore", [None, None, "", 1, 1, None, *CONTROLS[3:]], "compare is nothing; expected"),
    ],
)
def test_what_only_the_page_sends_is_told_as_well(
    stranger: Any, name: str, data: list[Any], said: str
) -> None:
    if name == "_restore":  # Gradio makes the controls anew once they were changed in a visit
        assert '"error"' not in _told(
            stranger, name, [_example(stranger), None, "", *CONTROLS], session_hash="a visit"
        )
    assert said in _told(stranger, name, data, session_hash="a visit")


def _example(stranger: Any) -> dict[str, Any]:
    components = stranger.get("/config").json()["components"]
    named = {one["props"].get("elem_id"): one["props"] for one in components}
    return {"path": named["photo"]["value"]["path"], "meta": {"_type": "gradio.FileData"}}


def test_no_question_without_a_visit_stays(stranger: Any) -> None:
    """Gradio makes a visit of each, and would keep what was sent with ten thousand of them."""
    (gradio,) = (one.app for one in stranger.app.routes if hasattr(one.app, "get_blocks"))
    holder = gradio.get_blocks().state_holder
    assert holder.capacity == 512
    before = {*holder.session_data}
    assert "html" in _told(stranger, "_html", [None, {"photo": "x" * 1000}, ""])
    assert {*holder.session_data} == {*holder.time_last_used} == before
    _told(stranger, "_forget", [], session_hash="kept")
    assert {*holder.session_data} == {*before, "kept"}
