"""What the classes cannot say of a DLMS meter's login: which secrets its authentication and its ciphering want."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.entries import Entry
from protocols.settings.document import Document
from protocols.settings.problems import Problem

WITH_PASSWORD = ("lls", "hls-md5", "hls-sha1", "hls-sha256")
WITH_TITLE = ("hls-gmac", "hls-sha256")
PASSWORD = ("password_file", "password_credential")
KEYS = tuple((f"{each}_key_file", f"{each}_key_credential") for each in ("encryption", "authentication"))
# What it has stored, and its clock.
STORED = frozenset(
    {
        "model",
        "further_profiles",
        "logs",
        "further_cadence_s",
        "logs_cadence_s",
        "further_days",
        "compressed",
        "range_ends",
        "offset_sign",
        "association",
        "answer_ms",
        "pause_ms",
        "adjust_clock",
    }
)
LOGIN = frozenset(
    {
        "auth",
        *PASSWORD,
        "ciphering",
        "suite",
        *KEYS[0],
        *KEYS[1],
        "system_title",
        "meter_title",
        "dedicated",
        "general_ciphering",
        "challenge_bytes",
    }
)


def problems(document: Document, device: Entry) -> Iterator[Problem]:
    """Secrets that are missing, there twice, or of no use."""
    auth, ciphering = device.table.get("auth", "none"), device.table.get("ciphering", "none")
    yield from _password(document, device, auth)
    yield from _adjusting(document, device)
    keyed = auth == "hls-gmac" or ciphering in ("authenticated", "encrypted", "both")
    cause = ("ciphering", ciphering) if auth != "hls-gmac" else ("auth", auth)
    for file, credential in KEYS:
        yield from _key(document, device, (file, credential), cause if keyed else None)
    if (keyed or auth in WITH_TITLE) and "system_title" not in device.table:
        words = f'our system title for {cause[0]} = "{cause[1]}"' if keyed else f'our system title for auth = "{auth}"'
        do = 'add to [[bus.device]]:  system_title = "504C420000000001", with a number of your own for each gateway'
        at = (*device.path, cause[0] if keyed else "auth")
        yield document.problem((*device.path, "system_title"), words, "nothing", do=do, at=at)


def _adjusting(document: Document, device: Entry) -> Iterator[Problem]:
    """A clock is adjusted within limits, and those are the model's."""
    if device.table.get("adjust_clock") is not True:
        return
    from protocols.models import dlms  # noqa: PLC0415

    name = device.text("model")
    if name in dlms.names() and dlms.load(name).adjusting is not None:
        return
    with_limits = [each for each in dlms.names() if dlms.load(each).adjusting is not None]
    do = f"add a model that says within which limits ({', '.join(with_limits)}), or remove adjust_clock"
    got = f'model = "{name}"' if name else "no model"
    yield document.problem((*device.path, "adjust_clock"), "a model with limits for adjust_clock", got, do=do)


def _password(document: Document, device: Entry, auth: object) -> Iterator[Problem]:
    given = [key for key in PASSWORD if key in device.table]
    path = (*device.path, "auth")
    if auth in WITH_PASSWORD and not given:
        file = f"secrets/{_file(device)}"
        do = f'add to [[bus.device]]:  password_file = "{file}", and write the password into that file (chmod 600)'
        yield document.problem(
            (*device.path, PASSWORD[0]), f'a password for auth = "{auth}"', "nothing", do=do, at=path
        )
    if len(given) > 1:
        words = "password_file or password_credential"
        yield document.problem(
            _second(document, device, given), words, "both", do="keep the one that holds the password"
        )
    elif auth in ("none", "hls-gmac") and given:
        words = f'no {given[0]} with auth = "{auth}"'
        do = (
            f'add auth = "lls", or remove {given[0]}'
            if auth == "none"
            else f"remove {given[0]}: the keys are the secret"
        )
        yield document.problem((*device.path, given[0]), words, "one", do=do)


def _key(
    document: Document, device: Entry, names: tuple[str, str], cause: tuple[str, object] | None
) -> Iterator[Problem]:
    given = [key for key in names if key in device.table]
    which = names[0].removesuffix("_file").replace("_", " ")
    if cause is not None and not given:
        file = f"secrets/{_file(device)}.{which.partition(' ')[0]}"
        do = f'add to [[bus.device]]:  {names[0]} = "{file}", and write the key into that file in hex (chmod 600)'
        words = f'an {which} for {cause[0]} = "{cause[1]}"'
        yield document.problem((*device.path, names[0]), words, "nothing", do=do, at=(*device.path, cause[0]))
    if len(given) > 1:
        words = f"{names[0]} or {names[1]}"
        yield document.problem(_second(document, device, given), words, "both", do="keep the one that holds the key")
    elif cause is None and given:
        words = f"no {given[0]} without ciphering"
        do = f'add ciphering = "both", or remove {given[0]}'
        yield document.problem((*device.path, given[0]), words, "one", do=do)


def _file(device: Entry) -> str:
    return device.text("name").replace(" ", "-") or "meter"


def _second(document: Document, device: Entry, given: list[str]) -> tuple[str | int, ...]:
    """The one that stands further down in the file."""
    last = max(given, key=lambda key: document.places.of((*device.path, key)).line)
    return (*device.path, last)
