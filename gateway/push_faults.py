"""What can be wrong with a push: one named error each (PLB-M380 to PLB-M385), and with its port (PLB-L230)."""

from __future__ import annotations

from protocols.errors import LinkError, MeterError


class PushUnattributed(MeterError):  # noqa: N818 - named after what happened
    """A push whose sender is no configured meter, or may be several: kept as an event, never as a reading."""

    code = "PLB-M380"
    do = "add push = true and meter_title or push_from to the meter that sent it; else find out who sends"


class PushPlain(MeterError):  # noqa: N818
    """An unciphered push of a meter that is configured with ciphering: anybody could have sent it."""

    code = "PLB-M381"
    do = "set the push's security in the meter as it is configured here; else somebody pushes in the meter's name"


class PushReplayed(MeterError):  # noqa: N818
    """A good ciphered push whose invocation counter came before, or lies far below the highest one."""

    code = "PLB-M382"
    do = "nothing where the network delivers late; where it lasts the meter's counter went back, or somebody replays"


class PushOverQuota(MeterError):  # noqa: N818
    """More pushes, or more bytes of them, than a meter or a source may send."""

    code = "PLB-M383"
    do = "lower the meter's push interval or its push list; of a stranger: block it in the firewall"


class PushNotTaken(MeterError):  # noqa: N818
    """A good push that could not be stored now: it is not confirmed, so that the meter sends it again."""

    code = "PLB-M384"
    do = "see 'status' why the buffer takes nothing; a push that wants no confirmation is lost, and counted"


class PushOfAnother(PushUnattributed):
    """A push that comes from a meter's address, or under its title, and says that it is another meter."""

    code = "PLB-M385"
    do = "was the meter exchanged? correct its identity in the configuration"


class ListenFailed(LinkError):  # noqa: N818
    """The port for pushes cannot be opened."""

    code = "PLB-L230"
    do = "check bind and port of [push], and that no other program listens there (ss -lntup); it is tried again"
