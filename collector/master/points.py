"""Metering points, those who are supplied there, and how points relate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from collector.master.dated import Span


class Scheme(Enum):
    """By which rule a point's id is written (`collector.master.ids`)."""

    HU = "hu"  # POD: 33 characters
    GSRN = "gsrn"  # PL (PPE), NO: 18 digits, the last one a check digit
    EIC = "eic"  # UA: 16 characters, the last one a check character
    FREE = "free"  # the utility's own plant number


class Medium(Enum):
    """What is delivered."""

    ELECTRICITY = "electricity"
    HEAT = "heat"
    COOLING = "cooling"
    HOT_WATER = "hot-water"
    COLD_WATER = "cold-water"
    GAS = "gas"


@dataclass(frozen=True, slots=True)
class Point:
    """A metering point: `zone` is the IANA name of the time zone in which its days begin."""

    id: str
    scheme: Scheme
    medium: Medium
    zone: str
    span: Span


@dataclass(frozen=True, slots=True)
class Supply:
    """Who is supplied at a point: the view of a customer ends with it."""

    point: str
    customer: str
    span: Span


class Relation(Enum):
    """What one point is to another."""

    SUB = "sub"  # its delivery is part of the other's
    CHECK = "check"  # it measures the same a second time
    SHARE = "share"  # it takes a share of what the other measures


@dataclass(frozen=True, slots=True)
class Related:
    """A relation of `point` to `other`; `share` is 1 but for a share."""

    point: str
    other: str
    relation: Relation
    share: Fraction
    span: Span
