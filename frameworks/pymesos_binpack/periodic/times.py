"""When a periodic task is due: cron's five fields in a time zone, as cronsim reads them.

Cronsim has Debian's rule for daylight saving. Fixed times happen once: one that the clocks jump
over is due when they have jumped, and one that they show twice is due the first time. Where the
minute or the hour begins with a star, times go by what has elapsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = 5
ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)  # from which a schedule has to be due some time


# Of crontab(5), which not every cron has.
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class ScheduleError(ValueError):
    """A schedule that cannot be: the message says what was expected."""


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name. Raises ScheduleError."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ScheduleError(_unknown(name)) from error
    except KeyError as error:
        raise ScheduleError(_unknown(name)) from error


def _unknown(name: str) -> str:
    return f"time_zone: {name[:64]!r} is not known: one like Europe/Berlin, or UTC, was expected"


def check_schedule(schedule: str, time_zone: str) -> None:
    """Raises ScheduleError where a schedule cannot be read, or is never due."""
    zone = zone_of(time_zone)
    if len(schedule.split()) != FIELDS:
        raise ScheduleError(
            f"schedule: {schedule[:64]!r} has {len(schedule.split())} fields: minute, hour, day of"
            f" the month, month, and day of the week were expected, as in"
            f" {NICKNAMES.get(schedule.strip().lower(), '*/15 * * * *')!r}"
        )
    try:
        next(CronSim(schedule, ANY_TIME.astimezone(zone)))
    except CronSimError as error:
        raise ScheduleError(
            f"schedule: {schedule[:64]!r} cannot be read: {error}; expected are a minute from 0 to"
            f" 59, an hour from 0 to 23, a day of the month from 1 to 31 that some month has, a"
            f" month from 1 to 12, and a day of the week from 0 to 7, 0 and 7 being Sunday"
        ) from error
    except StopIteration as error:
        raise ScheduleError(f"schedule: {schedule[:64]!r} is never due") from error


def due_times(schedule: str, time_zone: str, after_s: float) -> Iterator[float]:
    """Return the Unix times at which a schedule is due, later than one."""
    since = datetime.fromtimestamp(after_s, zone_of(time_zone))
    for due in CronSim(schedule, since):
        # From a time that the clocks show again, cronsim goes on as from when they showed it first.
        if (due_s := due.timestamp()) > after_s:
            yield due_s
