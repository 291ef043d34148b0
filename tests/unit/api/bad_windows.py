"""Bad studies whose windows are at fault: cron and time zones."""

from tests.unit.api.studies import BASE, Bad

WINDOW = "spec.windows.0"


def _cron(name: str, schedule: str, *says: str) -> Bad:
    return Bad(f"cron-{name}", {f"{WINDOW}.schedule": schedule}, ("spec.windows[0].schedule", f'"{schedule}"', *says))


BAD_WINDOWS = (
    _cron("four-fields", "0 1 * *", "has 4 fields; write minute, hour, day of month, month and day of week"),
    _cron("six-fields", "0 0 1 * * *", "has 6 fields"),
    _cron("alias", "@daily", "has 1 fields"),
    _cron("minute", "60 1 * * *", "minute 60 is not of 0-59", "such as 0 1 * * *"),
    _cron("hour", "0 24 * * *", "hour 24 is not of 0-23"),
    _cron("day", "0 1 0 * *", "day of month 0 is not of 1-31"),
    _cron("month", "0 1 * 13 *", "month 13 is not of 1-12 or JAN-DEC"),
    _cron("weekday", "0 1 * * MOON", "day of week MOON is not of 0-7 or SUN-SAT"),
    _cron("step-zero", "*/0 1 * * *", "minute */0 is not of 0-59"),
    _cron("downwards", "0 22-4 * * *", "range 22-4 goes downwards", "such as 22-23,0-4 for 22-4"),
    _cron("downwards-by-name", "0 1 * * FRI-SUN", "day of week FRI-SUN is not of", "ranges that go upwards"),
    _cron("never", "0 1 31 2 *", "day 31 of month 2 never comes; choose a day that the month has"),
    _cron("empty", "", "has 1 fields"),
    Bad("cron-long", {f"{WINDOW}.schedule": "0 1 * * " + "1," * 80 + "1"}, ("spec.windows[0].schedule", "128")),
    Bad(
        "zone",
        {f"{WINDOW}.timeZone": "Mars/Olympus"},
        ("spec.windows[0].timeZone", "Mars/Olympus", "such as Europe/Paris"),
    ),
    Bad(
        "zone-local",
        {f"{WINDOW}.timeZone": "Local"},
        ("spec.windows[0].timeZone", "unknown time zone Local", "Etc/UTC"),
    ),
    Bad(
        "zone-offset", {f"{WINDOW}.timeZone": "+02:00"}, ("spec.windows[0].timeZone", "+02:00", "such as Europe/Paris")
    ),
    Bad("zone-path", {f"{WINDOW}.timeZone": "../etc/passwd"}, ("spec.windows[0].timeZone", "../etc/passwd", "Etc/UTC")),
    Bad("window-end", {f"{WINDOW}.onClose": "Kill"}, ("spec.windows[0].onClose", "Kill", "Finish", "Stop")),
    Bad("window-length", {f"{WINDOW}.durationMinutes": 0}, ("spec.windows[0].durationMinutes", "0", "1")),
    Bad("many-windows", {"spec.windows": [BASE["spec"]["windows"][0]] * 17}, ("spec.windows", "17", "16")),
)
