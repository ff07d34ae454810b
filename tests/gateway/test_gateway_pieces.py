"""Meters that refuse a long answer: rows come in pieces that fit, every row once; truth is the meter's record."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlms_street import QUARTER_MS, Street, of

from gateway.config import DlmsBus
from gateway.dlms import DlmsReader
from gateway.pieces import QUESTIONS, TRIED_AGAIN, Fit
from gateway.settled import Settled
from protocols.dlms.access import Framing
from protocols.dlms.faults import AccessRefused
from protocols.dlms.get import AccessResult
from protocols.reading import How
from simulators.dlms.faults import Faults
from simulators.dlms.meter import Meter
from simulators.record import read

AUTUMN_MS = 1_792_886_400_000  # 2026-10-25 00:00 UTC: the clocks of Budapest go back at 01:00 UTC
SUPPLY = "50012345"
REFUSED = bytes((1, AccessResult.OTHER_REASON))
PDU_TOO_LONG = bytes.fromhex("d80204")


class Asked:
    """How often the buffer was asked for, and how often refused."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused = self.questions = 0
        bounded = Meter._bounded

        def counted(meter: Meter, *given: object) -> object:
            found = bounded(meter, *given)  # type: ignore[arg-type]
            if given[0].number == 2:  # type: ignore[attr-defined]
                self.questions += 1
                self.refused += found is AccessResult.OTHER_REASON
            return found

        patch.setattr(Meter, "_bounded", counted)


@pytest.mark.parametrize("way", ["", ",lifo", ",local-search", ",bare-clock", ",nulls"])
@pytest.mark.parametrize("most", [50, 10, 2])
async def test_every_row_is_read_once_by_each_of_two_processes(tmp_path: Path, most: int, way: str) -> None:
    """Over the hour that comes twice, by a process that knows what fits and by one that does not."""
    street = Street(tmp_path, f"rows={most}{way}", now_ms=AUTUMN_MS - 20 * QUARTER_MS)
    await street.start()
    device = street.device(compressed="nulls" in way)
    found = of(await street.visit(street.reader(device), device), How.PROFILE)
    street.time.pass_ms(22 * QUARTER_MS)  # into the second of the two hours
    reader = street.reader(device)
    found += of(await street.visit(reader, device), How.PROFILE)
    street.time.pass_ms(20 * QUARTER_MS)
    found += of(await street.visit(reader, device), How.PROFILE)
    await street.stop()
    keys = {(each.meter_time, each.part) for each in found}
    assert len(keys) == len(street.recorded("row"))
    assert sorted(str(time) for time, _ in keys) == sorted(row.time or "" for row in street.recorded("row"))


@pytest.mark.parametrize("most", [10, 1])
async def test_what_fits_is_remembered_and_more_is_tried_at_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A few refusals at first, then one for each so many pieces; no visit asks without end."""
    street = Street(tmp_path, f"rows={most}")
    asked = Asked(monkeypatch)
    await street.start()
    device = street.device()
    reader = street.reader(device)
    await reader.read(street.due(device))
    found = 0
    for _ in range(len(street.recorded("row")) + QUESTIONS):
        before = asked.questions
        piece = await reader.rows(device.name)
        street.positions.committed(Settled.by(piece, {}).rows)
        found += len(piece)
        assert asked.questions - before <= 3 * QUESTIONS
        if not piece:
            break
    await street.stop()
    assert found == len(street.recorded("row"))
    assert asked.refused <= 8 + asked.questions // TRIED_AGAIN


async def test_a_meter_that_refuses_a_single_row_says_so_after_few_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal is told; whoever may not read the buffer at all is asked once."""
    street = Street(tmp_path)
    await street.start()
    device = street.device()
    reader = street.reader(device)
    await reader.read(street.due(device))
    for result, most in ((AccessResult.OTHER_REASON, 8), (AccessResult.READ_WRITE_DENIED, 1)):
        asked: list[AccessResult] = []
        monkeypatch.setattr(Meter, "_buffer", lambda *_, result=result, asked=asked: asked.append(result) or result)
        with pytest.raises(AccessRefused):
            await reader.rows(device.name)
        assert 1 <= len(asked) <= most
    await street.stop()


class Excepting(Faults):
    """Says in an exception-response that an answer would be too long, so often so far."""

    said = 0

    def answers(self, answer: bytes) -> bytes:
        """The exception in place of a refusal."""
        if answer[8:10] != b"\xc4\x01" or answer[11:] != REFUSED:
            return answer
        self.said += 1
        return answer[:6] + len(PDU_TOO_LONG).to_bytes(2, "big") + PDU_TOO_LONG


async def test_an_exception_response_to_a_long_answer_is_a_refusal_too(tmp_path: Path) -> None:
    """As "PDU too long", of a meter that cannot send blocks."""
    street = Street(tmp_path, "rows=10")
    await street.start()
    street.meters.outlet(Framing.WRAPPER).faults = faults = Excepting(())
    device = street.device(name="supply", client=16, auth="none", password_file=None, serial=SUPPLY)
    url = f"tcp://127.0.0.1:{street.meters.wrapper_port}"
    bus = DlmsBus(protocol="dlms", name="street", url=url, device=(device,))
    found = of(await street.visit(DlmsReader(bus, street.positions, street.clock), device), How.PROFILE)
    await street.stop()
    truth = [each for each in read(street.path) if each.meter == SUPPLY and each.kind == "row"]
    assert [str(each.meter_time) for each in found] == [each.time for each in truth]
    assert faults.said


def test_more_is_tried_sooner_where_there_are_no_rows() -> None:
    """Days without rows are not asked for hour by hour."""
    fit = Fit()
    fit.refused(86_400, 899)
    for _ in range(4):
        fit.took(0)
    assert fit.span_s == 86_400
