"""The live page, and what it shows: the page is one file that asks nobody but the server it came from.

A server sends ``html()`` with the header ``Content-Security-Policy: policy()``, and at ``live.json`` beside
it what ``Snapshots(db).take()`` returns.
"""

from tidal.page.document import LIVE_NAME, html, policy
from tidal.page.rates import SAMPLE_SECONDS
from tidal.page.snapshots import SNAPSHOT_FORMAT, Snapshots, health_shown

__all__ = ["LIVE_NAME", "SAMPLE_SECONDS", "SNAPSHOT_FORMAT", "Snapshots", "health_shown", "html", "policy"]
