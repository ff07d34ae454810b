"""The named errors of the uplink: one for each rule that a message can break."""

from __future__ import annotations

from protocols.errors import PeerError, SecurityError


class FormError(PeerError):
    """Bytes that are not the msgpack form of the contract."""

    code = "PLB-P101"
    do = "the message is refused and kept for inspection; report it with the sender's version"


class FieldError(PeerError):
    """A field is missing or is not of the type, length or range of the contract."""

    code = "PLB-P102"
    do = "the message is refused and kept for inspection; report it with the sender's version"


class LimitError(PeerError):
    """A size, a count or a depth is over a limit of the contract."""

    code = "PLB-P103"
    do = "the message is refused; a sender of ours splits before it comes to this"


class CountError(PeerError):
    """A column, a run or the leaves are not exactly as many as declared."""

    code = "PLB-P104"
    do = "the body is kept as evidence and not decoded; report it with the sender's version"


class RootError(PeerError):
    """The leaves do not have the root that the header names."""

    code = "PLB-P105"
    do = "the batch is kept as evidence and held from billing; report it"


class VersionError(PeerError):
    """A version that this side does not read yet."""

    code = "PLB-P106"
    do = "it is kept as evidence and decoded after the next upgrade"


class SignatureError(SecurityError):
    """A signature does not hold over the bytes it came with."""

    code = "PLB-X101"
    do = "the message is refused; nothing of it is used"


class BodyHashError(SecurityError):
    """A body is not the one that its signed header names."""

    code = "PLB-X102"
    do = "the message is refused; nothing of it is used"


class BoxError(SecurityError):
    """A message cannot be opened: sealed to another key, for another gateway or kind, or altered on the way."""

    code = "PLB-X103"
    do = "check that both sides hold the current trust document; altered bytes are refused and counted"


class SignerError(SecurityError):
    """The signer is not the one that the topic, the trust document or the register names."""

    code = "PLB-X104"
    do = "the message is refused and counted; somebody may be publishing for another gateway"


class UnknownKeyError(SecurityError):
    """A key that is not registered here."""

    code = "PLB-X105"
    do = "register the gateway's request with 'plomba-collector sign'; its batches wait there until then"


class RevokedKeyError(SecurityError):
    """A key that was revoked."""

    code = "PLB-X106"
    do = "enrol the gateway again; what waits there can then be vouched for"


class StaleError(SecurityError):
    """An acknowledgement or trust document that is not newer than the last accepted one."""

    code = "PLB-X107"
    do = (
        "it is ignored: it was taken before, or a newer one was; where nobody gave it twice by hand, somebody may be"
        " replaying old messages"
    )


class ProofError(SecurityError):
    """A proof, an export or an erased batch does not verify."""

    code = "PLB-X108"
    do = "do not use the values; ask the utility for the evidence of this batch"


class KeyFileError(SecurityError):
    """A key file is missing, readable by others, or does not hold the key it should."""

    code = "PLB-X109"
    do = "restore the file from the device's own folder, or enrol again; keys are never copied from elsewhere"
