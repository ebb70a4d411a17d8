"""Quiet: windows of many scales, a noise ladder and a budget of false alarms; :mod:`.engine` has the order.

A series is cut into blocks of 32 readings. Windows of 64 to 32,768 readings that end now are compared with
a baseline that grows for eight weeks; how surprising a difference is, is measured in the noise that the
series itself showed at that scale; and the threshold is what spends the model's budget of false alarms, no
more.
"""

from stream.detectors.quiet.bank import Found, QuietBank
from stream.detectors.quiet.sight import Change, Sight
from stream.detectors.quiet.spec import Family, Pool, Spec

__all__ = ["Change", "Family", "Found", "Pool", "QuietBank", "Sight", "Spec"]
