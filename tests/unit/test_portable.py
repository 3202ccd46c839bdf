"""What a published record keeps of paths and addresses: names, not where they lie on one machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fedmedlora.config.portable import UNNAMED, portable_path, portable_setting, portable_study, portable_text


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder, below the home of someone whose name must stay unsaid."""
    here = tmp_path / "jdoe" / "work"
    here.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(here.parent))
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Whole values: absolute, home, parent.
        ("/data/hospital/notes.jsonl", "notes.jsonl"),
        ("/data/hospital/", "hospital"),
        ("/data/My Hospital/the notes.jsonl", "the notes.jsonl"),
        ("/data/a;~bob", f"a;{UNNAMED}"),
        ("~/notes", "notes"),
        ("~someone/notes", "notes"),
        ("../corpora", "corpora"),
        ("../../../jdoe/corpora/chia", "chia"),
        ("corpora/../../chia", "chia"),
        ("corpora/../chia", "chia"),
        # No name of its own, or that of somebody's home.
        ("~", UNNAMED),
        ("~someone", UNNAMED),
        ("..", UNNAMED),
        ("../..", UNNAMED),
        ("/", UNNAMED),
        ("/home/someone", UNNAMED),
        ("/Users/someone/", UNNAMED),
        ("../../../home/someone", UNNAMED),
        ("../../jdoe", UNNAMED),
        # Windows.
        (r"C:\Users\someone\notes.jsonl", "notes.jsonl"),
        (r"C:\Users\someone", UNNAMED),
        ("d:/data/notes", "notes"),
        ("C:\\", UNNAMED),
        (r"\\server\share\notes", "notes"),
        (r"\data\notes", "notes"),
        (r"..\corpora\chia", "chia"),
        # With something before or behind.
        ("/data/splits.json:chia", "splits.json:chia"),
        ("../studies/splits.json:chia", "splits.json:chia"),
        (r"C:\data\splits.json:chia", "splits.json:chia"),
        ("dir=/data/hospital/x", "dir=x"),
        ("see /data/hospital/x", "see x"),
        ("a,../../jdoe/x", "a,x"),
        ("(/data/hospital/x", "(x"),
        ("notes:~/x", "notes:x"),
        (r"notes:C:\data\x", "notes:x"),
        ("file:///data/hospital/x", "file:x"),
        # Left as they are.
        ("bundled", "bundled"),
        ("corpora/chia", "corpora/chia"),
        ("./corpora/chia", "./corpora/chia"),
        ("org/model-1.5", "org/model-1.5"),
        ("@cf/meta/llama", "@cf/meta/llama"),
        ("splits.json:chia", "splits.json:chia"),
        ("v1..2", "v1..2"),
        ("a..b/c", "a..b/c"),
        ("1e-4", "1e-4"),
        ("", ""),
        # Addresses keep scheme, host and path.
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://jdoe:secret@host/v1", "https://host/v1"),
        ("https://jdoe:se@cret@host/v1", "https://host/v1"),
        ("https://jdoe@host:8000/v1?key=secret#secret", "https://host:8000/v1"),
        ("https://jdoe:se?cret@host/v1", "https://HOST"),
        ("https://jdoe:se/cret@host/v1", "https://HOST"),
        ("/data/x https://jdoe:secret@host/v1", "x https://host/v1"),
    ],
)
def test_a_text_keeps_names_alone(text: str, shown: str) -> None:
    assert portable_text(text) == shown
    # Once is enough.
    assert portable_text(shown) == shown


def test_what_lies_below_the_working_folder_is_named_from_there(somewhere: Path) -> None:
    assert portable_text(f"{somewhere}/models/base") == "models/base"
    assert portable_text("~/work/models/base") == "models/base"
    assert portable_path(Path("studies/two.toml")) == "studies/two.toml"
    assert portable_path(somewhere / "studies" / "two.toml") == "studies/two.toml"
    assert portable_path(Path("../two.toml")) == "two.toml"


@pytest.mark.parametrize("folder", ["/", "above"])
def test_a_working_folder_above_homes_leads_by_them(
    folder: str, somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, study = somewhere / "notes.jsonl", Path(f"{somewhere}/two.toml")
    monkeypatch.chdir(folder if folder == "/" else somewhere.parent.parent)
    assert portable_text(str(notes)) == "notes.jsonl"
    assert portable_path(study.relative_to(Path.cwd())) == "two.toml"


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("training.lr=1e-4", "training.lr=1e-4"),
        ('arms=["zero-shot",  "fedmedlora"]', 'arms=["zero-shot",  "fedmedlora"]'),
        ('labels="a#b"', 'labels="a#b"'),
        ("base=/data/models/base", "base=base"),
        ("base='/data/my models/base'", 'base="base"'),
        ('base="\\u002Fdata\\u002Fbase"', 'base="base"'),
        ("corpora_root=..", f"corpora_root={UNNAMED}"),
        ("corpora_root=~", f"corpora_root={UNNAMED}"),
        (r"base=C:\models\base", "base=base"),
        (r"base='C:\models\base'", 'base="base"'),
        ('sites.a.split={path="/data/s.json", key="chia"}', 'sites.a.split={path = "s.json", key = "chia"}'),
        ('sites.a.split="/data/s.json:chia"', 'sites.a.split="s.json:chia"'),
        (
            'sites=[{name="a", path="/data/a b", external=true, "of it"=[1, 0.5, "~/x"]}]',
            'sites=[{name = "a", path = "a b", external = true, "of it" = [1, 0.5, "x"]}]',
        ),
        ("seeds=[0] # /data/hospital", "seeds=[0]"),
        ("seeds=[0]\nbase='/data/hospital'", "seeds=[0]"),
        ("api.base_url=https://jdoe:secret@host/v1", "api.base_url=https://host/v1"),
        ('api.base_url="https://jdoe:secret@host/v1"', 'api.base_url="https://host/v1"'),
    ],
)
def test_a_setting_is_cut_anywhere_within_its_value(setting: str, shown: str) -> None:
    assert portable_setting(setting) == shown


def test_a_cut_setting_is_still_toml() -> None:
    shown = portable_setting('sites=[{name="a", path="/data/\\"a\\" b", n=1e16, on=false}]')
    assert tomllib.loads(shown) == {"sites": [{"name": "a", "path": '"a" b', "n": 1e16, "on": False}]}


def test_a_study_is_shown_without_where_it_lies() -> None:
    study = """# of /data/hospital
base = "../../../home/jdoe/models/base"
corpora_root = "../.."
rounds = 3
[[sites]]
name = "a"
path = "a"
split = "../jdoe/splits.json:a"
[api]
base_url = "https://jdoe:secret@host/v1"
"""
    shown = portable_study(study)
    assert "jdoe" not in shown
    assert "hospital" not in shown
    assert tomllib.loads(shown) == {
        "base": "base",
        "corpora_root": UNNAMED,
        "rounds": 3,
        "sites": [{"name": "a", "path": "a", "split": "splits.json:a"}],
        "api": {"base_url": "https://host/v1"},
    }
