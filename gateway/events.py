"""The codes of the gateway's own events; with the meters' they are its audit trail."""

from __future__ import annotations

START = "start"  # parameters: version of the core
STOP = "stop"
EPOCH_NEW = "epoch-new"  # reason
# By ms; where it cut slots (more than 9 s): "adjusted", or beyond 10 min "invalid", and what the clock showed before
# and after (ms UTC): the slots in which these two lie.
CLOCK_STEP = "clock-step"
CLOCK_APART = "clock-apart"  # the collector's clock is ahead by ms (0: they agree again)
CLOCK_SET = "clock-set"  # by ms, source, and as of a step
# The meter is ahead of us by ms, give or take ms (0 and that: they agree again), and when it was last seen otherwise
# (ms UTC, nothing: never since the start). The meter's rows from that instant on are marked, up to the event with 0.
METER_CLOCK_APART = "meter-clock-apart"
# What it showed before and after (12 bytes each), drift and uncertainty before and after (ms), by seconds, how, who.
METER_CLOCK_ADJUSTED = "meter-clock-adjusted"
METER_OFFSET_DOUBTFUL = "meter-offset-doubtful"  # code, text: its offset from UTC has the other sign, it seems
METER_CLOCK_FAILED = "meter-clock-failed"  # code, text, who asked: it was moved or not
POLL_FAILED = "poll-failed"  # bus, code, text
POLL_RECOVERED = "poll-recovered"  # bus, code
IDENTITY_MISMATCH = "identity-mismatch"  # bus, code, text
# bus, the new meter (packed identity), since (ms UTC), in words; the event names the meter that was there before. Said
# when it is confirmed, and again by each process that reads it.
METER_CHANGED = "meter-changed"
METER_RETURNED = "meter-returned"  # ... the same: the configured meter answers again
# The record of an exchange: see docs/adr/0018-an-exchange-is-an-event.md.
METER_EXCHANGED = "meter-exchanged"
# bus, the slot's beginning and end (ms UTC), "cadence" or "billing": a slot of a calendar is over and has no reading.
# Said again by each process until the meter is read.
SLOT_MISSED = "slot-missed"
# bus, a meter that nobody configured (packed identity), found (ms UTC), in words, code, in whose place it may be; the
# event's device is what its reading is named.
NEWCOMER_FOUND = "newcomer-found"
READING_DOUBTFUL = "reading-doubtful"  # bus, code, slot, SHA-256 of the telegram, text
BUS_FAILED = "bus-failed"  # bus, code, text
BUS_RECOVERED = "bus-recovered"  # bus, code
READING_REFUSED = "reading-refused"  # code, SHA-256 of the telegram, text
RECORD_REFUSED = "record-refused"  # code, text
BUFFER_FULL = "buffer-full"  # readings refused so far
BUFFER_ROOM = "buffer-room"  # readings refused meanwhile
BUFFER_HIGH = "buffer-high"  # percent in use
UNSAFE_REMOVED = "stored-not-safe-removed"  # batches
BUFFER_SALVAGED = "buffer-salvaged"  # batches salvaged, file set aside
BUFFER_LOG_CUT = "buffer-log-cut"  # commits that were durable and are lost, at least; the log that was kept
BATCH_ROTTEN = "batch-rotten"  # epoch, seq, code
MARK_TAKEN_BACK = "mark-taken-back"  # batches, first seq
GENERATION = "generation-raised"  # from, to
WRITE_FAILED = "write-failed"  # code, text
# In the log alone: the daemon was asked to stop while the disk took nothing. How many readings, and what to do.
READINGS_LOST = "readings-lost-at-stop"
WRITE_RECOVERED = "write-recovered"  # readings that waited, readings refused for want of memory
PUSH_REFUSED = "push-refused"  # code, text, address it came from, SHA-256, the bytes
METER_EVENT = "meter-event"  # attribute, value, unit, the meter's time (12 bytes), the bytes: an event-notification
LISTENING = "push-listening"  # log only
LISTEN_FAILED = "push-listen-failed"  # log only
