"""Ports of servers that are started side by side."""

from harness.engines import process


def test_a_port_is_given_once_until_its_session_ends(monkeypatch):
    free = process.free_port
    with process.own_port() as first:
        offered = iter([first, first, free()])
        monkeypatch.setattr(process, "free_port", lambda: next(offered))
        with process.own_port() as second:
            assert second != first
    monkeypatch.setattr(process, "free_port", lambda: first)
    with process.own_port() as again:
        assert again == first
    with process.own_port(8000) as fixed, process.own_port(8000) as same:
        assert fixed == same == 8000
