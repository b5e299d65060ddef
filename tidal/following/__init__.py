"""Stores that follow another: read while they do, and promoted when their leader is gone."""

from tidal.following.follower import FollowerDb
from tidal.following.opening import open_follower

__all__ = ["FollowerDb", "open_follower"]
