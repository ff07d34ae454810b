"""The master data: what is entered, corrected and ended, and every question as known at any instant.

Its tables (`points`, `meters`, ...) answer for themselves: `at(instant)`, `during(span)`, `all()`, `versions()`, each
with a column to narrow it: `installations.during(span, known_ms, meter="1234")`. A change is made in one act:

    with store.transaction(), store.master.acting(Act(who, now_ms, why)) as change:
        change.enter(point, meter, register, installation, channel)

An act has an instant of its own, above that of every act before it, so that "as known at" tells acts apart also when
the clock stood still or went back. What it touches before now is marked to be computed again (`recompute`). A rule that
does not hold raises, and the transaction takes back all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from collector.faults import MasterDataError, NotEnteredError, OverlapError
from collector.master.channels import Channel, Computed
from collector.master.dated import Act, Span
from collector.master.meters import Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Point, Related, Supply
from collector.master.whose import Shown
from collector.shown import utc
from collector.store import master_rules as rules
from collector.store import master_words as words
from collector.store.master_dated import DatedTable
from collector.store.master_identity import Identities, Waiting
from collector.store.master_marks import DAY_MS, EVERY, Mark, Marks, Touched
from collector.store.master_words import Word
from collector.store.sql import Connection
from protocols.reading import Identity

MARKS = 1_000  # asked for at once


class Master:
    """The tables of the master data, by word, and the questions that need several of them."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection
        self.points: DatedTable[Point] = DatedTable(connection, words.POINTS)
        self.supplies: DatedTable[Supply] = DatedTable(connection, words.SUPPLIES)
        self.relations: DatedTable[Related] = DatedTable(connection, words.RELATIONS)
        self.meters: DatedTable[Meter] = DatedTable(connection, words.METERS)
        self.registers: DatedTable[Register] = DatedTable(connection, words.REGISTERS)
        self.mapped: DatedTable[Mapped] = DatedTable(connection, words.MAPPED)
        self.installations: DatedTable[Installation] = DatedTable(connection, words.INSTALLATIONS)
        self.channels: DatedTable[Channel] = DatedTable(connection, words.CHANNELS)
        self.computed: DatedTable[Computed] = DatedTable(connection, words.COMPUTED)
        self.identities = Identities(connection, self.meters, self.mapped)
        self.marks = Marks(connection)

    @contextmanager
    def acting(self, act: Act) -> Iterator[Change]:
        """Make changes in one act, inside a transaction; when it is left, what they touch is marked."""
        change = Change(self, *self._begin(act))
        yield change
        change.finish()
        if not change.changes:  # said already: nothing to remember
            self._sql.execute("DELETE FROM master_act WHERE n = ?", (change.n,))

    def enter(self, act: Act, *entered: Word) -> None:
        """Enter things where nothing of theirs holds yet; what is there already as it is stays."""
        with self.acting(act) as change:
            change.enter(*entered)

    def correct(self, act: Act, *corrected: Word) -> None:
        """Let things hold otherwise in their spans than was known."""
        with self.acting(act) as change:
            change.correct(*corrected)

    def end(self, act: Act, word: Word, at_ms: int) -> None:
        """Let a thing, as it holds, hold no longer from an instant on."""
        with self.acting(act) as change:
            change.end(word, at_ms)

    def meter_of(self, identity: Identity, at_ms: int, known_ms: int | None = None) -> Meter | None:
        """The meter that says this of itself; None: nobody's, or it could be two meters' alike."""
        return self.identities.meter_of(identity, at_ms, known_ms)

    def shown(
        self, identity: Identity, sub: str | None, gateway: str, device: str, at_ms: int, known_ms: int | None = None
    ) -> Shown:
        """Whose the values of a reading are: of the meter by its identity, or by the device map."""
        return self.identities.shown(identity, sub, gateway, device, at_ms, known_ms)

    def keys_of(self, meter: str) -> list[bytes]:
        """The packed keys under which readings of a meter stand, by its identity or by the device map."""
        self.identities.look()
        return self.keys_seen(meter)

    def keys_seen(self, meter: str) -> list[bytes]:
        """The same, of what was taken up already (`identities.look`), by whatever was ever known."""
        found = [key for each in self.meters.versions(meter=meter) for key in self.identities.read_as(each.word)]
        for each in self.mapped.versions(meter=meter):
            found += self.identities.read_at(each.word.gateway, each.word.device)
        return list(dict.fromkeys(found))

    def waiting(self) -> list[Waiting]:
        """The meters that are read and were not entered, those that wait longest first."""
        return list(self.identities.waiting())

    def recompute(self, limit: int = MARKS) -> list[Mark]:
        """What has to be computed again, oldest first."""
        return self.marks.all(limit)

    def recomputed(self, number: int) -> bool:
        """Take a mark away, in the transaction that stores what was computed; whether it was there."""
        return self.marks.done(number)

    def table(self, word: Word) -> DatedTable[Any]:
        """The table in which a word stands."""
        tables: dict[type, DatedTable[Any]] = {
            Point: self.points,
            Supply: self.supplies,
            Related: self.relations,
            Meter: self.meters,
            Register: self.registers,
            Mapped: self.mapped,
            Installation: self.installations,
            Channel: self.channels,
            Computed: self.computed,
        }
        return tables[type(word)]

    def _begin(self, act: Act) -> tuple[int, Act]:
        """The act's number, and the act at an instant above those before: who begins at once with another, waits."""
        last = self._sql.execute("SELECT n, at_ms FROM master_act ORDER BY n DESC LIMIT 1").fetchone()
        n, at_ms = (1, act.at_ms) if last is None else (last[0] + 1, max(act.at_ms, last[1] + 1))
        self._sql.execute(
            "INSERT INTO master_act (n, at_ms, who, why) VALUES (?, ?, ?, ?)", (n, at_ms, act.who, act.why)
        )
        return n, Act(act.who, at_ms, act.why)


class Change:
    """One act: what is entered, corrected and ended together is known from one instant on."""

    def __init__(self, master: Master, n: int, act: Act) -> None:
        self.n, self.act = n, act
        self.changes = 0
        self._master = master
        self._touched: list[Touched] = []

    def enter(self, *entered: Word) -> None:
        """Enter things where nothing of theirs holds yet; what holds already in all of that time stays as it is.

        Raises:
            OverlapError: something else of it holds there.
            MasterDataError: another rule does not hold.
        """
        for word in entered:
            table = self._master.table(word)
            there = table.during(word.span, None, **table.form.key(word))
            if there and table.says(there, word):
                continue
            if there:
                got = f"another one {rules.span_in_words(there[0].span)}"
                raise OverlapError(f"nothing yet {rules.span_in_words(word.span)}", got, rules.name_of(word))
            self._laid(word, table.add(word, self.act))

    def correct(self, *corrected: Word) -> None:
        """Let things hold otherwise in their spans than was known.

        Raises:
            NotEnteredError: nothing of it was entered.
            MasterDataError: another rule does not hold.
        """
        for word in corrected:
            table = self._master.table(word)
            if not table.all(None, **table.form.key(word)):
                raise NotEnteredError("something to correct", "nothing", rules.name_of(word))
            self._lay(word)

    def set(self, *words_: Word) -> None:
        """Let things hold in their spans, whatever was known of them.

        Raises:
            MasterDataError: a rule does not hold.
        """
        for word in words_:
            table = self._master.table(word)
            if isinstance(word, Installation) and word.span.to_ms is not None:
                self._went(word, word.span.to_ms)
            if not table.says(table.during(word.span, None, **table.form.key(word)), word):
                self._lay(word)

    def end(self, word: Word, at_ms: int, final: tuple[Stood, ...] = ()) -> None:
        """Let a thing, as it holds, hold no longer from an instant on; from its beginning: it never held.

        Args:
            word: what ends.
            at_ms: when (ms UTC).
            final: of a meter that goes: what its registers stood at.

        Raises:
            NotEnteredError: it does not hold so, or a meter has no such register.
            OverlapError: something that refers to it goes on.
        """
        table = self._master.table(word)
        where = rules.name_of(word)
        if word not in table.during(word.span, None, **table.form.key(word)):
            raise NotEnteredError(f"it {rules.span_in_words(word.span)}", "none like this", where)
        if at_ms < word.span.from_ms or (word.span.to_ms is not None and at_ms >= word.span.to_ms):
            raise MasterDataError(f"an end in {rules.span_in_words(word.span)}", utc(at_ms), where)
        cut = Span(at_ms, word.span.to_ms)
        self._touch(word, cut)  # before: what refers to it tells where
        table.cut(word, cut, self.act)
        self.changes += 1
        rules.check_left(self._master, word, cut)
        if final and isinstance(word, Installation):
            if at_ms == word.span.from_ms:
                raise MasterDataError("no final values of a meter that never was there", utc(at_ms), where)
            went = replace(word, span=Span(word.span.from_ms, at_ms), final=final)
            self._master.installations.lay(went, self.act)  # nothing before the end is touched
            rules.check(self._master, went)

    def exchange(
        self,
        point: str,
        old: str,
        new: str,
        at_ms: int,
        final: tuple[Stood, ...] = (),
        initial: tuple[Stood, ...] = (),
        clock: str | None = None,
    ) -> tuple[Installation, Installation]:
        """A meter goes and another comes at one instant, with what each stood at; both installations as they are now.

        The new one keeps the clock (unless `clock` names another) and the stamp edges of the old one.

        Raises:
            NotEnteredError: the old one is not there, or the new one lacks a register that a channel is fed by.
            MasterDataError: another rule does not hold.
        """
        went = self._installed(point, old, at_ms)
        self._feeds_on(point, old, new, at_ms)
        ended = replace(went, span=Span(went.span.from_ms, at_ms), final=final)
        came = Installation(point, new, Span(at_ms), clock or went.clock, went.interval_edge, went.day_edge, initial)
        self.end(went, at_ms, final)
        self.enter(came)
        return ended, came

    def finish(self) -> None:
        """Mark what was touched."""
        if self._touched:
            self._master.identities.look()
            self._master.marks.put(self.n, self._clipped(), self.act.at_ms)

    def _went(self, word: Installation, at_ms: int) -> None:
        """An installation that was known to go on beyond its end ends there."""
        for there in self._master.installations.at(at_ms, None, point=word.point, meter=word.meter):
            if there.span.from_ms < at_ms:
                self.end(there, at_ms)

    def _installed(self, point: str, meter: str, at_ms: int) -> Installation:
        found = self._master.installations.at(at_ms, point=point, meter=meter)
        there = ", ".join(each.meter for each in self._master.installations.at(at_ms, point=point)) or "none"
        where = f"exchange at point {point}"
        if not found:
            raise NotEnteredError(f"meter {meter} there at {utc(at_ms)}", there, where)
        if found[0].span.to_ms is not None:
            raise OverlapError(f"meter {meter} there until further notice", f"until {utc(found[0].span.to_ms)}", where)
        if found[0].span.from_ms == at_ms:
            raise MasterDataError("an exchange after the old meter came", utc(at_ms), where)
        return found[0]

    def _feeds_on(self, point: str, old: str, new: str, at_ms: int) -> None:
        """What the old meter fed, the new one feeds."""
        here = self._master.registers.at(at_ms, meter=old)
        comes = {each.name for each in self._master.registers.at(at_ms, meter=new)}
        for channel in self._master.channels.during(Span(at_ms), point=point):
            fed = [each for each in here if each.name == channel.register and each.kind is not Kind.STATUS]
            if fed and channel.register not in comes:
                expected = f"register {channel.register} of meter {new}, which channel {channel.name} is fed by"
                raise NotEnteredError(expected, ", ".join(sorted(comes)) or "none", f"exchange at point {point}")

    def _lay(self, word: Word) -> None:
        self._laid(word, self._master.table(word).lay(word, self.act))

    def _laid(self, word: Word, spans: list[Span]) -> None:
        """Check what was laid, and note what it touches; no spans: nothing was said anew."""
        if not spans:
            return
        self.changes += 1
        if isinstance(word, Meter):
            self._master.identities.note(word)
        rules.check(self._master, word)
        for span in spans:
            self._touch(word, span)

    def _touch(self, word: Word, span: Span) -> None:
        self._touched += _touched(self._master, word, span)

    def _clipped(self) -> Iterator[Touched]:
        """Not from before the first reading: an installation of long ago has nothing to compute until then."""
        first: dict[str, int | None] = {}
        for each in self._touched:
            if each.point not in first:
                first[each.point] = self._first(each.point)
            begun = first[each.point]
            if begun is None:
                continue
            span = each.span.common(Span(begun))
            if span is not None:
                yield replace(each, span=span)

    def _first(self, point: str) -> int | None:
        """When the first reading of any meter that ever was at a point may have been (a meter's clock has a zone)."""
        here = [each.word for each in self._master.installations.versions(point=point)]
        stood = [each.span.from_ms for each in here if each.initial or each.final]
        keys = {key for each in here for key in self._master.keys_seen(each.meter)}
        read = [first - DAY_MS for key in keys if (first := self._master.identities.first_ms(key)) is not None]
        return min([*stood, *read], default=None)


def _touched(master: Master, word: Word, span: Span) -> list[Touched]:
    """The points and channels whose values depend on a word in a span."""
    why = rules.name_of(word)
    match word:
        case Point(id=point) | Installation(point=point):
            found = [Touched(point, EVERY, span, why)]
        case Channel() | Computed():
            found = [Touched(word.point, word.name, span, why)]
        case Register():
            found = _fed(master, word.meter, word.name, span, why)
        case Mapped():
            found = _fed(master, word.meter, word.register, span, why)
            for meter in master.identities.met_at(word.gateway, word.device):
                found += _fed(master, meter, None, span, why)
        case Meter():
            found = _fed(master, word.serial, None, span, why)
        case _:
            found = []
    return found


def _fed(master: Master, meter: str, register: str | None, span: Span, why: str) -> list[Touched]:
    """Where a meter's register feeds: the channels, or the whole point where it feeds none but the stands."""
    found: list[Touched] = []
    for here in master.installations.during(span, meter=meter):
        common = here.span.common(span)
        if common is None:
            continue
        channels = master.channels.during(common, point=here.point)
        named = [each.name for each in channels if each.register == register]
        found += [Touched(here.point, name, common, why) for name in named or [EVERY]]
    return found
