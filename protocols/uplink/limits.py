"""Everything of the uplink that has a limit, with its unit and its reason. The constants are part of version 1."""

VERSION = 1  # of header and body; a header that names another version keeps its frozen 15 fields

PACKET = 320 * 1024  # bytes of one message on the pipe; one more closes the connection before it is buffered
PADDING = 64  # bytes: plaintexts are padded to a multiple of this, so that sizes tell an eavesdropper little
BATCH_HEADER = 4 * 1024  # bytes; the frozen header with room for elements of later versions
HELLO_HEADER = 24 * 1024  # bytes; 64 ranges of 64 bytes and the last acknowledgement as received (docs/adr/0004)
ACK_HEADER = 12 * 1024  # bytes; 2 x 64 ranges, 16 refusals (docs/adr/0004)
SMALL_HEADER = 8 * 1024  # bytes; trust document, enrolment request, statement
RECORD = 1024 * 1024  # bytes of a commissioning record: 250 meters with 4,000 bytes of first values each
BODY = 1024 * 1024  # bytes of a body before deflating
BODY_DEFLATED = 256 * 1024  # bytes of a body on the wire
DEPTH = 6  # nested arrays, the outermost counted
ARRAY = 8_195  # elements: the longest column is a form and a pair for each of 4,096 rows
LEAVES = 4_096  # of one batch
REGISTERS = 64  # of one leaf
CELLS = 65_536  # rows x registers over all blocks of a body: what runs may expand to
TEXT = 128  # bytes of UTF-8 of a text
OCTETS = 256  # bytes of a value kept raw; more than the longest M-Bus data block
STATUS = 255  # the eight mapped status bits
EXPONENT = 12  # |power of ten| of a value
FUTURE_MS = 4_102_444_800_000  # 2100-01-01 UTC
PAST_MS = 946_684_800_000  # 2000-01-01 UTC
METER_SECONDS = 3_155_760_000  # a meter's calendar: 2000-01-01 up to (not including) 2100-01-01, 36,525 days
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
RANGES = 64  # in one hello, and of stored and safe each in one acknowledgement
REFUSALS = 16  # in one acknowledgement
BRANCHES = 16  # ids kept for one (epoch, sequence) of a cloned gateway
VERSIONS = 16  # named in one hello or acknowledgement
PATH = 12  # hashes in a proof: 2^12 = 4,096 leaves
