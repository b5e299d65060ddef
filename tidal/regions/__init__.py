"""State that regions merge: equal everywhere once everything has arrived, in whatever order it came."""

from tidal.regions.bridge import SessionBridge, SessionOp
from tidal.regions.clock import HybridClock, Stamp
from tidal.regions.counter import PNCounter
from tidal.regions.idempotency import IdempotencyStore, idempotency_key
from tidal.regions.intake import SessionIntake, session_operation
from tidal.regions.link import RegionLink
from tidal.regions.negatives import HardNegatives
from tidal.regions.parts import NegativesPart, SignalsPart, ValuesPart
from tidal.regions.reconcile import Plan, ReconciliationEngine
from tidal.regions.region import Member, Region
from tidal.regions.register import LWWRegister
from tidal.regions.signals import CrdtSignalState, NodeState
from tidal.regions.summed import SummedReads
from tidal.regions.values import NamedValues

__all__ = [
    "CrdtSignalState",
    "HardNegatives",
    "HybridClock",
    "IdempotencyStore",
    "LWWRegister",
    "Member",
    "NamedValues",
    "NegativesPart",
    "NodeState",
    "PNCounter",
    "Plan",
    "ReconciliationEngine",
    "Region",
    "RegionLink",
    "SessionBridge",
    "SessionIntake",
    "SessionOp",
    "SignalsPart",
    "Stamp",
    "SummedReads",
    "ValuesPart",
    "idempotency_key",
    "session_operation",
]
