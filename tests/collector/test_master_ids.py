"""Ids of metering points by scheme, native keys and numbers in cells, local times."""

from __future__ import annotations

import datetime
import string
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.faults import LocalTimeError, MasterDataError, PointIdError
from collector.master import cells, ids
from collector.master.clocks import instant
from collector.master.points import Scheme
from protocols.reading import NativeKey, Scaled

# HU: as bills and portals of operators show them; EIC: codes of areas and parties that ENTSO-E publishes.
RIGHT = [
    (Scheme.HU, "HU000210F11-S00000000000016049191"),
    (Scheme.HU, "HU000120-11-S00000000000000297924"),
    (Scheme.HU, "HU000120F11-U-NYDUN-VIZ-BARAND---"),
    (Scheme.EIC, "10YHU-MAVIR----U"),
    (Scheme.EIC, "10YTR-TEIAS----W"),
    (Scheme.EIC, "21Z000000000163R"),
    (Scheme.GSRN, "590543580500123455"),
    (Scheme.FREE, "plant 7/3"),
]
WRONG = [
    (Scheme.HU, "HU000210F11-S0000000000001604919", "33 characters", "32"),
    (Scheme.HU, "HU00021OF11-S00000000000016049191", "6 digits of the network operator after HU", "O as character 8"),
    (Scheme.HU, "HU000210F11-s00000000000016049191", "capitals, digits and -", "s as character 13"),
    (Scheme.HU, "AT000210F11-S00000000000016049191", "HU at the beginning", "AT"),
    (Scheme.EIC, "10YHU-MAVIR----V", "U as check character", "V as character 16, or another one is wrong"),
    (Scheme.EIC, "10YHU-MAVIR---U", "16 characters", "15"),
    (Scheme.EIC, "10YHU_MAVIR----U", "capitals, digits and -", "_ as character 6"),
    (Scheme.GSRN, "590543580500123456", "5 as check digit", "6 as character 18, or another one is wrong"),
    (Scheme.GSRN, "59054358050012345X", "digits alone", "X as character 18"),
    (Scheme.GSRN, "59054358050012345\u0665", "digits alone", "\u0665 as character 18"),
    (Scheme.FREE, "", "1 to 64 characters", "0"),
]


def test_the_check_digit_is_that_of_gs1() -> None:
    """The example of 18 digits on GS1's page about check digits."""
    assert ids.gsrn_digit("37610425002123456") == "9"


@pytest.mark.parametrize(("scheme", "text"), RIGHT)
def test_ids_in_use_are_taken(scheme: Scheme, text: str) -> None:
    """As operators of that market write them."""
    ids.check(scheme, text)


@pytest.mark.parametrize(("scheme", "text", "expected", "got"), WRONG)
def test_a_wrong_id_names_the_character(scheme: Scheme, text: str, expected: str, got: str) -> None:
    """What was expected, which character is wrong, what to do."""
    with pytest.raises(PointIdError) as raised:
        ids.check(scheme, text)
    assert (raised.value.expected, raised.value.got) == (expected, got)
    assert "copy the id" in str(raised.value)


@given(first=st.text(string.digits, min_size=17, max_size=17), at=st.integers(0, 17), by=st.integers(1, 9))
def test_every_wrong_digit_of_a_gsrn_is_found(first: str, at: int, by: int) -> None:
    """One digit that was typed wrong changes the check digit."""
    right = first + ids.gsrn_digit(first)
    ids.check(Scheme.GSRN, right)
    wrong = right[:at] + str((int(right[at]) + by) % 10) + right[at + 1 :]
    with pytest.raises(PointIdError):
        ids.check(Scheme.GSRN, wrong)


@given(
    first=st.text(string.digits + string.ascii_uppercase, min_size=15, max_size=15),
    at=st.integers(0, 14),
    other=st.sampled_from(string.digits + string.ascii_uppercase),
)
def test_every_wrong_character_of_an_eic_is_found(first: str, at: int, other: str) -> None:
    """37 is a prime above every weight."""
    check = ids.eic_character(first)
    wrong = first[:at] + other + first[at + 1 :]
    if other != first[at] and check != "-":
        with pytest.raises(PointIdError):
            ids.check(Scheme.EIC, wrong + check)


@given(name=st.one_of(st.text(max_size=70), st.text("./\\ab:\0", max_size=12)))
@example("../../etc/passwd")
@example("/etc/passwd")
@example("a/../../b")
@example("..\\b")
def test_a08_no_name_leads_out_of_a_folder(name: str) -> None:
    """A08: whatever is taken as a name stays below a folder that it is put into, on every system."""
    try:
        ids.check_name(name, "name")
    except MasterDataError:
        return
    assert not name.startswith("/")
    assert "\\" not in name
    assert "\0" not in name
    assert ".." not in name.split("/")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1-0:1.8.0", NativeKey.dlms(3, bytes((1, 0, 1, 8, 0, 255)), 2)),
        ("dlms:3/1-0:1.8.0.255/2", NativeKey.dlms(3, bytes((1, 0, 1, 8, 0, 255)), 2)),
        ("mbus:fb00/1/2/3/0/0", NativeKey.mbus(b"\xfb\x00", 1, 2, 3, 0)),
        ("modbus:1/40/input.int32.cdab", NativeKey.modbus(1, 40, "input.int32.cdab")),
    ],
)
def test_a_native_key_is_read_as_it_is_shown(text: str, key: NativeKey) -> None:
    """What `readings` prints goes into the sheet."""
    assert cells.native_key(text) == key
    assert cells.native_key(str(key)) == key


@pytest.mark.parametrize("text", ["", "mbus:06", "mbus:zz/0/0/0/0/0", "dlms:3/1-0:1.8.0/x", "modbus:1/-1/a", "1.8.0"])
def test_what_is_no_native_key_is_told_with_one_of_each(text: str) -> None:
    """The error shows how they are written."""
    with pytest.raises(MasterDataError, match="dlms:3/1-0:1"):
        cells.native_key(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("40", Fraction(40)), ("200/5", Fraction(40)), ("0.01", Fraction(1, 100)), ("1/3", Fraction(1, 3))],
)
def test_factors_are_exact(text: str, found: Fraction) -> None:
    """No float touches them."""
    assert cells.ratio(text) == found
    assert cells.number("-0.10") == Scaled(-10, -2)


def _utc(*parts: int) -> int:
    return int(datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp()) * 1000  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "zone", "at_ms"),
    [
        ("2026-03-01", "Europe/Budapest", _utc(2026, 2, 28, 23)),
        ("2026-07-01", "Europe/Budapest", _utc(2026, 6, 30, 22)),
        ("2026-03-01T06:00", "Europe/Kyiv", _utc(2026, 3, 1, 4)),
        ("2026-10-25T02:30+01:00", "Europe/Budapest", _utc(2026, 10, 25, 1, 30)),
        ("2026-10-25T02:30+02:00", "Europe/Budapest", _utc(2026, 10, 25, 0, 30)),
        ("2026-03-01T06:00Z", "Europe/Budapest", _utc(2026, 3, 1, 6)),
        ("2024-09-08", "America/Santiago", _utc(2024, 9, 8, 4)),  # its midnight is left out: the day begins at one
        ("2024-11-03", "America/Havana", _utc(2024, 11, 3, 4)),  # its midnight comes twice: it begins with the first
    ],
)
def test_a_local_time_is_one_instant(text: str, zone: str, at_ms: int) -> None:
    """Days begin with their first moment, also on change days."""
    assert instant(text, zone) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-25T02:30",
        "2026-03-29T02:30",
        "2026-02-30",
        "1.3.2026",
        "2026-03-01T25:00",
        "0001-01-01",
        "9999-12-31",
        "1969-12-31T22:59",
    ],
)
def test_an_ambiguous_local_time_is_refused(text: str) -> None:
    """The hour that comes twice, the one that is left out, and what is no time at all."""
    with pytest.raises(LocalTimeError):
        instant(text, "Europe/Budapest")


@pytest.mark.parametrize("zone", ["America/Santiago", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe"])
def test_every_day_begins_where_the_day_before_ends(zone: str) -> None:
    """At the first instant of ours at which the zone's calendar shows it."""
    for n in range(366):
        day = (datetime.date(2024, 1, 1) + datetime.timedelta(n)).isoformat()
        start = instant(day, zone)
        shown = [
            datetime.datetime.fromtimestamp(at // 1000, ZoneInfo(zone)).date().isoformat()
            for at in (start, start - 1000)
        ]
        assert shown[0] == day
        assert shown[1] < day
