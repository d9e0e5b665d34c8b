"""The buttons that stop long work: what the work has still to say must not come after "Stopped"."""

from fastapi.testclient import TestClient


def test_a_press_stops_the_work_before_its_word_is_asked_for(client: TestClient) -> None:
    events = client.get("/config").json()["dependencies"]
    stops = [event for event in events if event["cancels"]]
    assert len(stops) == 2  # Compare's count, and the Analyst's lists
    for stop in stops:
        # The browser goes through the parts of a press in order, and waits for the server's answer to each.
        (press,) = (event for event in events if event["targets"] == stop["targets"] and event != stop)
        assert not press["backend_fn"]
        (word,) = (event for event in events if event["trigger_after"] == press["id"])
        (stopped,) = (event for event in events if event["id"] in stop["cancels"])
        assert word["backend_fn"] and set(word["outputs"]) <= set(stopped["outputs"])
