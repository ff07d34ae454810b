"""What can be wrong with the protection of a DLMS/COSEM association: one named error each (PLB-M340 to PLB-M354)."""

from __future__ import annotations

from protocols.dlms.faults import PasswordRefused
from protocols.errors import MeterError

KEYS = "check encryption key, authentication key, suite and system titles in the configuration against the meter's"


class NotAuthentic(MeterError):  # noqa: N818 - named after what happened on the line
    """A ciphered APDU whose authentication tag does not hold: another key, another title, or altered on the way."""

    code = "PLB-M340"
    do = KEYS


class PlainAnswer(MeterError):  # noqa: N818
    """An unciphered answer in a ciphered association: it proves nothing and is never taken."""

    code = "PLB-M341"
    do = "check whether the meter's security policy and the configuration agree; else somebody meddles with the line"


class CounterNotGrown(MeterError):  # noqa: N818
    """A good ciphered APDU whose invocation counter was there before: a repetition, or a recorded answer."""

    code = "PLB-M342"
    do = "raise the timeout if the meter often answers late; else somebody meddles with the line"


class WeakProtection(MeterError):  # noqa: N818
    """A ciphered APDU with less protection than agreed, or of another security suite."""

    code = "PLB-M343"
    do = "set suite and ciphering in the configuration as the meter has them"


class Compressed(MeterError):  # noqa: N818
    """A ciphered APDU that says it is compressed: that is not supported."""

    code = "PLB-M344"
    do = "switch compression off in the meter's security setup"


class KeyUnknown(MeterError):  # noqa: N818
    """A ciphered APDU under a key that is not held here: the broadcast key, or a dedicated key that was not offered."""

    code = "PLB-M345"
    do = "set dedicated in the configuration as the meter has it"


class PushDedicated(KeyUnknown):
    """A push under the dedicated key of an association: nobody else has that key, and the association may be over."""

    code = "PLB-M354"
    do = "let the meter push under its global keys; where the key is known 'decode --dedicated-key-file' opens it"


class TitleRefused(MeterError):  # noqa: N818
    """A system title that is missing, not 8 bytes long, another than agreed, or our own."""

    code = "PLB-M346"
    do = "check system_title and meter_title in the configuration; both sides need different ones of 8 bytes"


class ChallengeRefused(MeterError):  # noqa: N818
    """The meter's challenge is missing, of a length that the standard does not allow, or our own sent back."""

    code = "PLB-M347"
    do = "check that the meter has this authentication; a challenge that is ours means that somebody stands between"


class MeterNotProven(MeterError):  # noqa: N818
    """What the meter answered to our challenge is not what only the holder of the secret can answer."""

    code = "PLB-M348"
    do = KEYS


class MechanismUnsupported(MeterError):  # noqa: N818
    """An authentication mechanism that is not supported: the manufacturer's own, or ECDSA."""

    code = "PLB-M349"
    do = "use none, LLS, or HLS with MD5, SHA-1, GMAC or SHA-256"


class CountersSpent(MeterError):  # noqa: N818
    """No invocation counter is left that was never used with this key."""

    code = "PLB-M350"
    do = "have the meter's key changed: its counter begins anew then"


class CounterWentBack(MeterError):  # noqa: N818
    """The meter's invocation counter is lower than in an earlier association under the same key."""

    code = "PLB-M351"
    do = "find out whether the meter was replaced or set up anew; else an old association is being played back"


class ProofRefused(PasswordRefused):
    """The meter refused our answer to its challenge, or could not decipher what we sent."""

    code = "PLB-M352"
    do = (
        f"{KEYS}; where the object is called unavailable set association to its name; do not try again and again: some"
        " meters lock after a few failures"
    )


class CounterRefused(ProofRefused):
    """The meter says that it heard our invocation counter, or a higher one, before."""

    code = "PLB-M353"
    do = "the counter is read with the public client and the meter asked again; let no second client have this title"
