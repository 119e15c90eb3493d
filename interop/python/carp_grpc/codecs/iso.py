"""Instants and civil times as text, to the nanosecond: Python's own parsers stop at micro."""

from __future__ import annotations

import datetime as dt
import re

from ..values import CivilDateTime, Timestamp, civil, instant

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_CLOCK = r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
_PARSE_DATE = re.compile(_DATE, re.ASCII)
_PARSE_CIVIL = re.compile(f"{_DATE}T{_CLOCK}", re.ASCII)
_PARSE_INSTANT = re.compile(rf"{_DATE}T{_CLOCK}(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def format_instant(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of the second as are needed."""
    return _whole(value.to_datetime()) + _fraction(value.nanoseconds) + "Z"


def format_civil(value: CivilDateTime) -> str:
    """RFC 3339 without the zone."""
    return _whole(value.datetime) + _fraction(value.nanosecond)


def _whole(value: dt.datetime) -> str:
    # not strftime: its %Y does not pad years before 1000 on Linux
    return value.replace(microsecond=0, tzinfo=None).isoformat()


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""


def parse_date(text: str) -> dt.date:
    """A date from YYYY-MM-DD. Raises ValueError."""
    match = _PARSE_DATE.fullmatch(text)
    if match is None:
        raise ValueError("want YYYY-MM-DD")
    return dt.date(*(int(part) for part in match.groups()))


def parse_civil(text: str) -> dt.datetime | CivilDateTime:
    """A civil time from RFC 3339 without a zone. Raises ValueError."""
    match = _PARSE_CIVIL.fullmatch(text)
    if match is None:
        raise ValueError("want YYYY-MM-DDThh:mm:ss, a fraction of up to 9 digits, and no zone")
    return civil(*_clock(match))


def parse_instant(text: str) -> dt.datetime | Timestamp:
    """An instant from RFC 3339. Raises ValueError."""
    match = _PARSE_INSTANT.fullmatch(text)
    if match is None:
        raise ValueError("want YYYY-MM-DDThh:mm:ss, a fraction of up to 9 digits, and Z or ±hh:mm")
    whole, nanoseconds = _clock(match)
    stamp = Timestamp.from_datetime(whole.replace(tzinfo=dt.timezone.utc))
    return instant(stamp.seconds - _offset(match), nanoseconds)


def _clock(match: re.Match[str]) -> tuple[dt.datetime, int]:
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    whole = dt.datetime(year, month, day, hour, minute, second)
    return whole, int((match.group(7) or "").ljust(9, "0"))


def _offset(match: re.Match[str]) -> int:
    if match.group(8) is None:
        return 0
    hours, minutes = int(match.group(9)), int(match.group(10))
    if hours > 23 or minutes > 59:
        raise ValueError("the zone's offset is out of range")
    return (hours * 60 + minutes) * (-60 if match.group(8) == "-" else 60)
