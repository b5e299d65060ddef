"""What is attached to a database is asked when somebody looks, and gone when it says so."""

from __future__ import annotations

from tidal.links import IngestSeen, LeadingSeen, Link, Links


def test_what_is_attached_is_asked_each_time() -> None:
    links, count = Links(), iter(range(9))
    links.attach("a", lambda: IngestSeen("a", events=next(count)))
    links.attach("b", lambda: LeadingSeen(1))
    assert links.seen() == (IngestSeen("a", events=0), LeadingSeen(1))
    assert links.of(IngestSeen) == (IngestSeen("a", events=1),)


def test_a_name_is_taken_over_and_given_up() -> None:
    links = Links()
    links.attach("a", lambda: LeadingSeen(1))
    links.attach("a", lambda: LeadingSeen(2))
    assert links.seen() == (LeadingSeen(2),)
    links.detach("a")
    links.detach("a")
    assert links.seen() == ()


def test_what_is_there_no_more_is_left_out() -> None:
    links = Links()
    found: list[Link | None] = [None]
    links.attach("a", lambda: found[0])
    assert links.seen() == ()
    found[0] = LeadingSeen(1)
    assert links.seen() == (LeadingSeen(1),)
