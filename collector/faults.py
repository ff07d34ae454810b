"""The collector's own named errors."""

from __future__ import annotations

from protocols.errors import ConfigurationError, OwnBug, PeerError, SecurityError, StorageError
from protocols.settings.problems import ReportedError


class ConfigFileError(ReportedError):
    """The configuration file cannot be read, or something in it does not fit."""

    code = "PLB-C301"
    do = "correct the file and try again with 'plomba-collector check'"


class NotFoundError(ConfigurationError):
    """What was asked for by name or number is not in the store."""

    code = "PLB-C302"
    do = "look it up with 'status', 'readings' or 'events' and ask again"


class FileThereError(ConfigurationError):
    """A file that must not be overwritten exists, or one that is needed cannot be read."""

    code = "PLB-C303"
    do = "name another file, or move this one away first"


class ZoneError(ConfigurationError):
    """A time zone that this machine does not know."""

    code = "PLB-C340"
    do = "correct the zone of the point; names are those of the IANA time zone database"


class QuestionError(ConfigurationError):
    """A question for a series or for stands that cannot be answered as it is asked."""

    code = "PLB-C341"
    do = "ask as told; 'plomba-collector series --help' and /api/openapi.json name what can be asked"


class NoSeriesError(ConfigurationError):
    """A point, or a channel of it, that there is nothing of."""

    code = "PLB-C342"
    do = "correct the name of the point or of its channel"


class NotProvableError(ConfigurationError):
    """The values of a channel cannot be proven as they are asked for, or not now."""

    code = "PLB-C343"
    do = "ask for what is there to be proven: 'plomba-collector attribute --once' reckons what is due"


class DriverMissingError(ConfigurationError):
    """The store is a database of PostgreSQL, and what speaks with one is not installed."""

    code = "PLB-C304"
    do = "install it into the same environment: pip install 'plomba[postgresql]'"


class NotDistributableError(ConfigurationError):
    """The store cannot be spread over machines: no database of PostgreSQL, or one without the extension Citus."""

    code = "PLB-C305"
    do = "install Citus on every machine, CREATE EXTENSION citus in the store's database, and try again; or leave it"


class MasterDataError(ConfigurationError):
    """A line or an order of master data does not hold: nothing of it was entered."""

    code = "PLB-C320"
    do = "correct it as told and enter it again; what was entered before is as it was"


class UnitError(MasterDataError):
    """A quantity or a unit that is not known, or a unit of another quantity."""

    code = "PLB-C321"
    do = "name one of the units of that quantity"


class PointIdError(MasterDataError):
    """A metering point's id does not follow its scheme."""

    code = "PLB-C322"
    do = "copy the id from the contract or the register of points again, or name the scheme that it follows"


class OverlapError(MasterDataError):
    """Something else holds already in a part of that time."""

    code = "PLB-C323"
    do = "end what holds before it, or enter it as a correction"


class InstalledError(MasterDataError):
    """A meter would be installed at two points at one time."""

    code = "PLB-C324"
    do = "end its installation at the other point first, or check the serial number"


class RoleError(MasterDataError):
    """Two meters at one point at one time would both give the same register, or one meter one value twice."""

    code = "PLB-C325"
    do = "record a meter exchange if one replaced the other, else give the register of one of them another name"


class IdentityTakenError(MasterDataError):
    """What a meter says of itself fits another meter too: a reading could not be told whose it is."""

    code = "PLB-C326"
    do = "check the numbers on both plates; name more of the identity (manufacturer) where both are right"


class NotEnteredError(MasterDataError):
    """Something is referred to that was not entered, or does not hold at that time."""

    code = "PLB-C327"
    do = "enter it first, or correct the name or the time"


class LocalTimeError(MasterDataError):
    """A local time that is not one instant: it does not exist, or happens twice, or is written in another way."""

    code = "PLB-C328"
    do = "write a day (2026-03-01), or a time with its offset (2026-10-25T02:30+01:00)"


class SheetError(ReportedError):
    """A file of master data has faults, or cannot be read: nothing of it was entered."""

    code = "PLB-C329"
    do = "correct the file and give it again; nothing of it was entered"


class SeatError(ConfigurationError):
    """A worker among several where there can be one only."""

    code = "PLB-C350"
    do = "use a database of PostgreSQL as store, or run without --worker"


class EraseError(ConfigurationError):
    """What should be erased cannot be told apart or is not there."""

    code = "PLB-C351"
    do = "name a batch that is decoded and its leaves, or a point and a span; 'erase' without --yes shows what would go"


class ErasedError(StorageError):
    """Leaves of a stored batch were erased, so it is not whole any more: what is left still verifies."""

    code = "PLB-S350"
    do = "nothing: 'export' writes what is left, 'erasures' says who erased it, when and why"


class BackupError(StorageError):
    """A backup cannot be made or restored as it was asked for, or is not what its manifest says."""

    code = "PLB-S351"
    do = "what is there was left as it is; take another backup or another place, as the message says"


class DurabilityError(StorageError):
    """The store does not promise what an acknowledgement says: nothing is acknowledged."""

    code = "PLB-S301"
    do = "put the store on a local file system where SQLite can use WAL; let PostgreSQL have these three settings on"


class StoreVersionError(StorageError):
    """The store was made by another version, or the file is no store."""

    code = "PLB-S302"
    do = "start the version that made it, or name the right file"


class StoreFullError(StorageError):
    """The store did not take a transaction (disk full, read-only, locked, away, slow): nothing of it counts."""

    code = "PLB-S303"
    do = "make room, or bring the database back; meanwhile nothing is acknowledged and the gateways keep everything"


class StoreBusyError(StoreFullError):
    """Two writers waited for each other, and the database ended this one's transaction: nothing of it counts."""

    code = "PLB-S360"
    do = "nothing: it is done again at once; where it comes often, let one gateway read each meter"


class StoreGoneError(StoreFullError):
    """The store's file was removed or replaced while the collector had it open: nothing is committed into it."""

    code = "PLB-S307"
    do = "stop the collector, put the store back, start it again; the gateways keep everything and send it again"


class EvidenceAlteredError(StorageError):
    """A stored batch is not the one that was received."""

    code = "PLB-S304"
    do = "do not use its readings; restore the store from a backup, the gateway may still hold the batch"


class CurveAlteredError(StorageError):
    """A page of a series in the store is not what was written."""

    code = "PLB-S340"
    do = "have the page reckoned anew from the readings, or restore the store from a backup"


class QuotaError(PeerError):
    """More different batches for one sequence number than are kept."""

    code = "PLB-P301"
    do = "the gateway was copied many times: close the case and enrol it again"


class NotUsedError(PeerError):
    """A message of a kind that this version does not use."""

    code = "PLB-P302"
    do = "nothing: it is counted and kept for inspection"


class GatewayTakenError(SecurityError):
    """A gateway id that is registered with other keys; an id is never reused for other keys."""

    code = "PLB-X301"
    do = "give the device a new gateway id, or find out who asks under this one"


class FingerprintError(SecurityError):
    """The fingerprint of a request is not the one that the device shows."""

    code = "PLB-X302"
    do = "do not sign: the request is not from the device in front of you"


class RecordSignerError(SecurityError):
    """A commissioning record is signed by a key that is not an active one of its gateway, or not the one expected."""

    code = "PLB-X303"
    do = "take nothing from it: compare its fingerprint with the one that 'plomba-gateway keys' shows on the device"


class ClaimError(SecurityError):
    """A proof of values contradicts itself: what it says is not what its readings and its master data come to."""

    code = "PLB-X304"
    do = "do not use the values; ask the utility for a proof that holds, and show it this one"


class UnexpectedError(OwnBug):
    """A message made our own code fail in a way that no rule names."""

    code = "PLB-B301"
    do = "the message is kept; report it with this text"


# What hostile bytes can make a decoder raise beside our own errors, should a check be missing in it. Never sqlite3's or
# the operating system's errors: those are about our machine, not about the message.
MISHAPS = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AssertionError)
