"""The gateway's named errors: configuration, storage, meters and what comes over the link."""

from __future__ import annotations

from protocols.errors import ConfigurationError, LinkError, MeterError, OwnBug, PeerError, SecurityError, StorageError
from protocols.settings.problems import Problem, ReportedError


class BadConfiguration(ReportedError):  # noqa: N818 - named after what is wrong
    """A configuration file with one or more faults, all of them named."""

    code = "PLB-C220"
    do = "correct the file and try again with 'plomba-gateway check'"

    def __init__(self, problems: tuple[Problem, ...], where: str) -> None:
        super().__init__("a valid configuration", "one with faults", where, problems)


class ConfigurationUnreadable(ReportedError):  # noqa: N818
    """The file is not there or is not TOML."""

    code = "PLB-C221"
    do = "correct each line that is named and run 'check' again; where no line is: check the path given with --config"

    def __init__(self, problems: tuple[Problem, ...], where: str) -> None:
        super().__init__("a TOML file in UTF-8", "none", where, problems)

    @property
    def advice(self) -> str:
        """Of a file that was found: about its lines alone."""
        named = any(each.line for each in self.problems)
        return "correct the lines that are named and run 'check' again" if named else self.problems[0].do or self.do


class PasswordUnusable(ConfigurationError):  # noqa: N818
    """The file or credential with a meter's password is missing, empty, or readable by others."""

    code = "PLB-C224"
    do = "write the password into it, give it to the daemon's user and run chmod 600 on it"


class KeyUnusable(ConfigurationError):  # noqa: N818
    """The file or credential with a meter's key is missing, readable by others, or no key of the meter's suite."""

    code = "PLB-C227"
    do = "write the key into it as hex digits, give it to the daemon's user and run chmod 600 on it"


class CountersUnusable(ConfigurationError):  # noqa: N818
    """The file of invocation counters cannot be read or written: without it a counter could be used twice."""

    code = "PLB-C228"
    do = "give the state folder to the daemon's user; remove the file where it is damaged: counters go on by the clock"


class StateOfAnother(ConfigurationError):  # noqa: N818
    """The state of a scan that was begun on another line, or with other choices."""

    code = "PLB-C229"
    do = "give the command as it was begun, or another file with --state, or remove this one to begin anew"


class StateUnusable(ConfigurationError):  # noqa: N818
    """The file that a scan is to go on from holds no state of a scan, or a damaged one."""

    code = "PLB-C230"
    do = "remove the file to begin anew, or give another one with --state"


class NotEnrolled(ConfigurationError):  # noqa: N818
    """A key or the trust document is not there yet."""

    code = "PLB-C222"
    do = "run 'plomba-gateway keys', 'request' and 'accept' first"


class NoSuchBatch(ConfigurationError):  # noqa: N818
    """The batch that was asked for is not in the buffer."""

    code = "PLB-C223"
    do = "list what there is with 'plomba-gateway batches'"


class UnknownBus(ConfigurationError):  # noqa: N818
    """No M-Bus line of this name is in the configuration."""

    code = "PLB-C225"
    do = "name one of these, or the line itself with --port or --url"


class UnknownMeter(ConfigurationError):  # noqa: N818
    """No meter of this name that speaks the command's protocol is in the configuration."""

    code = "PLB-C226"
    do = (
        "name one of these, or the line and the meter: --port or --url, and of M-Bus --address or --secondary; 'probe',"
        " 'objects' and 'profile' are for DLMS meters"
    )


class LineOwned(LinkError):  # noqa: N818
    """The daemon of this configuration runs and owns the line: two masters on a line disturb each other."""

    code = "PLB-L105"
    do = "stop the daemon first (systemctl stop plomba-gateway), and start it again afterwards"


class BusBusy(LinkError):  # noqa: N818
    """The daemon found no time for a command's question: scheduled reads of the bus go before it."""

    code = "PLB-L109"
    do = "try again, see with 'check' how busy the bus is, or stop the daemon first (systemctl stop plomba-gateway)"


class NotOfDaemon(ConfigurationError):  # noqa: N818
    """The daemon that runs does not read this meter: it was started with another configuration."""

    code = "PLB-C232"
    do = "restart the daemon (systemctl restart plomba-gateway): it reads its file when it starts"


class SpeedFixed(LinkError):  # noqa: N818
    """A converter has the speed of the line as a setting of its own: the meter would speak past it."""

    code = "PLB-L107"
    do = "use a serial port or rfc2217://, or ask at the meter; then set the converter to the new speed"


class NotDurable(StorageError):  # noqa: N818
    """SQLite does not work the way that survives a power cut."""

    code = "PLB-S201"
    do = "put the state folder on a local file system that supports write-ahead logging"


class AlreadyRunning(StorageError):  # noqa: N818
    """Another daemon owns the state folder."""

    code = "PLB-S202"
    do = "stop the other daemon, or give this one a state folder of its own"


class BufferFull(StorageError):  # noqa: N818
    """The buffer is full of batches that may not be removed."""

    code = "PLB-S203"
    do = "restore the link, carry batches to the collector by hand ('buffer export'), or raise buffer.max_bytes"


class WriteFailed(StorageError):  # noqa: N818
    """The disk did not take what was written."""

    code = "PLB-S204"
    do = "free space or replace the disk; readings wait in memory meanwhile"


class BufferDamaged(StorageError):  # noqa: N818
    """The buffer's file is not a sound database."""

    code = "PLB-S205"
    do = "nothing: whole batches are salvaged and the rest is declared lost; check the disk"


class BufferMissing(StorageError):  # noqa: N818
    """There is no buffer to look into."""

    code = "PLB-S206"
    do = "start the daemon once, or check state_folder"


class LateAnswer(MeterError):  # noqa: N818
    """The middle of an answer lies outside the slot that it was asked for."""

    code = "PLB-M201"
    do = "if it stays so the bus has more to read than its cadence allows"


class PollTooLong(MeterError):  # noqa: N818
    """A meter used up its time budget."""

    code = "PLB-M202"
    do = "the meter babbles or the line is disturbed; check it with a single meter connected"


class RowWithoutTime(MeterError):  # noqa: N818
    """A row of a load profile whose time the meter itself does not know: it is not sealed, for it has no place."""

    code = "PLB-M203"
    do = "set the meter's clock; the rows stay in the meter's memory and can be read out by hand"


class OffsetTurned(MeterError):  # noqa: N818
    """A meter's clock that is right if its offset from UTC has the other sign: its rows are hours beside it."""

    code = "PLB-M206"
    do = "write this offset_sign into the meter's block and reload; what was read of it meanwhile is marked as doubtful"


class StepNotConfirmed(MeterError):  # noqa: N818
    """A counter that stepped back, jumped or was missing, and no two of three answers agree on what it shows."""

    code = "PLB-M210"
    do = "nothing was sealed, it is read again; if it stays so check cabling and bus load, or see what the meter shows"


class DaemonSilent(StorageError):  # noqa: N818
    """The daemon of this state folder runs, but its local socket does not answer, or may not be used by this user."""

    code = "PLB-S207"
    do = "run the command as the daemon's user (or root); where that does not help: restart the daemon"


class DaemonRefused(StorageError):  # noqa: N818
    """The daemon was asked through its local socket, and says no."""

    code = "PLB-S208"
    do = "the message of the daemon is in this one: do what it says"


class NothingToCarry(ConfigurationError):  # noqa: N818
    """Every batch that is held is stored at the collector already, or there is none."""

    code = "PLB-C231"
    do = "nothing is to be carried; --all writes the stored ones, too"


class NotEditable(ConfigurationError):  # noqa: N818
    """A key of the file is not written in a way that a command could change without touching more."""

    code = "PLB-C238"
    do = "change it by hand and run 'plomba-gateway check'; what was read and recorded stays"


class NotExchanged(MeterError):  # noqa: N818
    """The meter that is to be exchanged still answers, or another one than the one that was named."""

    code = "PLB-M204"
    do = "mount the new meter and give the command again; without --yes it waits for you between the two readings"


class NotSealable(ConfigurationError):  # noqa: N818
    """A text that a record cannot hold whole."""

    code = "PLB-C239"
    do = "shorten it, or give each value by a --final of its own; nothing is cut off by itself"


class NewcomerFound(MeterError):  # noqa: N818
    """A meter that nobody configured was found on a line where a configured one is silent."""

    code = "PLB-M205"
    do = (
        "was the silent meter exchanged for it? 'plomba-gateway exchange METER --to NUMBER' records it, or configure it"
    )


class AnswerUnusable(ConfigurationError):  # noqa: N818
    """An answer to `init` that was given with the command cannot be used, or one is missing that has no default."""

    code = "PLB-C261"
    do = "give it by its option or as a word of --bus, or leave --yes out: then it is asked for"


class DraftUnreadable(ConfigurationError):  # noqa: N818
    """The file in which `init` keeps what it has so far is not one that it wrote."""

    code = "PLB-C262"
    do = "move that file away and begin anew; the configuration itself was not touched"


class StepNotRepeated(MeterError):  # noqa: N818
    """A counter that stepped back, jumped or was missing, and the meter did not answer a second time in this slot."""

    code = "PLB-M211"
    do = "the reading is kept, marked partial and not billed; the next one tells; check cabling and supply of the meter"


class WrongCollector(PeerError):  # noqa: N818
    """An acknowledgement for another gateway, or of another collector."""

    code = "PLB-P201"
    do = "it is ignored and counted; somebody may be replaying messages of another site"


class WrongCertificate(SecurityError):  # noqa: N818
    """A certificate that is not for our key and name."""

    code = "PLB-X220"
    do = "sign this gateway's own request again and accept that enrolment"


class TrustHashDiffers(SecurityError):  # noqa: N818
    """The trust document is not the one whose hash was given."""

    code = "PLB-X221"
    do = "compare the hash with the operator by another way before you trust it"


class StartBroken(OwnBug):
    """The process that reads the configuration at a start ended without a word: a bug of ours, or it was killed."""

    code = "PLB-B201"
    do = "start it again; where the machine is short of memory free some, else report it with what the log says before"
