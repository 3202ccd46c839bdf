"""Settings as they may be published: no folder of one machine, no home, no user or key of an address.

A record, a card or a report travels further than the run. Of a path it keeps the last name, or the way to it from the
working folder where it lies below; of an http(s) address scheme, host and path. From the first sign of a path on, a
text counts as one to its end, since names may hold spaces: `a:/home/me/my notes/x` is `a:x`.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import tomllib
from pathlib import Path

import tomli_w

UNNAMED = "FOLDER"
"""Instead of a path that ends in no name of its own: a home, a drive, `..`."""

_ADDRESS = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:\d+)?", re.IGNORECASE)
_BREAKS = r"\s\"'`=:;,|()\[\]{}<>"
# What a path of one machine begins with: a root, a home, a drive; or, within a relative one, a step up.
_LOCAL = re.compile(
    rf"(?:^|(?<=[{_BREAKS}]))(?:[/\\~]|[A-Za-z]:[/\\]|[^{_BREAKS}]*?(?<![^{_BREAKS}/\\])\.\.(?:[/\\]|$))"
)
_ROOTED = re.compile(r"[/~]|\.\.|[A-Za-z]:(?:/|$)")
_HOMES = (["home"], ["users"])


def portable_path(path: Path) -> str:
    """The way to a path from the working folder, or its last name where it does not lie below."""
    return _portable_path(os.path.abspath(os.path.expanduser(path)))


def portable_text(text: str) -> str:
    """A text with its paths and addresses cut to what may be published."""
    found, end = "", 0
    for address in _ADDRESS.finditer(text):
        found += _without_paths(text[end : address.start()]) + _portable_address(address.group())
        end = address.end()
    return found + _without_paths(text[end:])


def portable_setting(setting: str) -> str:
    """One `KEY=VALUE` of `--set`, the texts within its value cut; as it was written where none needs to be."""
    key, _, text = setting.partition("=")
    try:
        table = tomllib.loads(f"value = {text.strip()}")
    except tomllib.TOMLDecodeError:
        return f"{key}={portable_text(text)}"
    shown = _portable_value(table["value"])
    # TOML lets a comment, or another line, stand behind the value.
    whole = "#" not in text and "\n" not in text.strip()
    return setting if whole and shown == table["value"] else f"{key}={_inline(shown)}"


def portable_study(text: str) -> str:
    """A study file with the texts of all its values cut. It shows settings and need not run again."""
    shown = _portable_value(tomllib.loads(text))
    return tomli_w.dumps(shown) if isinstance(shown, dict) else ""


def _portable_value(value: object) -> object:
    match value:
        case str():
            return portable_text(value)
        case list():
            return [_portable_value(item) for item in value]
        case dict():
            return {key: _portable_value(item) for key, item in value.items()}
    return value


def _portable_address(address: str) -> str:
    scheme, _, rest = address.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    host = host.rpartition("@")[2]
    # What is no host may be a password with a character in it that addresses do not have.
    return f"{scheme}://{host}{slash}{path}" if _HOST.fullmatch(host) else f"{scheme}://HOST"


def _without_paths(text: str) -> str:
    sign = _LOCAL.search(text)
    return text if sign is None else text[: sign.start()] + _portable_path(text[sign.start() :])


def _portable_path(path: str) -> str:
    below = _from_working_folder(path)
    if below is not None:
        return below
    plain = posixpath.normpath(path.replace("\\", "/"))
    if not _ROOTED.match(plain):
        return plain
    names = [name for name in plain.split("/") if name not in ("", "..")]
    if names and re.match(r"~|[A-Za-z]:$", names[0]):
        names = names[1:]
    if not names or [name.lower() for name in names[:-1]] in _HOMES or names[-1] == _home().name:
        return UNNAMED
    return portable_text(names[-1])


def _from_working_folder(path: str) -> str | None:
    """The way to an absolute path below the working folder; None for others, and where that way would lead by homes."""
    absolute, here, home = os.path.normpath(os.path.expanduser(path)), Path.cwd(), _home()
    if not os.path.isabs(absolute) or not Path(absolute).is_relative_to(here):
        return None
    leads_by_homes = here == Path(here.anchor) or (home != here and home.is_relative_to(here))
    return None if leads_by_homes else Path(absolute).relative_to(here).as_posix()


def _home() -> Path:
    return Path(os.path.expanduser("~"))


def _inline(value: object) -> str:
    """A value as TOML on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case dict():
            return f"{{{', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())}}}"
    return str(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
