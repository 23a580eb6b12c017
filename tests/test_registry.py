"""Names → plugins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prunekit import registry as registries
from prunekit.errors import InputError
from prunekit.protocols import Schedule
from prunekit.registry import Entry, Registry, register, registry
from prunekit.times import Progress

SCHEDULE = '''
from prunekit import Progress, Schedule, register

@register("{name}", version=3, source="a paper")
class Mine(Schedule):
    """Half of it at once."""

    def target(self, now: Progress) -> float | None:
        return {value}
'''


def write(file: Path, name: str = "mine", value: str = "self.sparsity / 2") -> Path:
    file.write_text(SCHEDULE.format(name=name, value=value))
    return file


class Shape(Schedule):
    depth: int = 1
    width: int = 1
    label: str = ""

    def target(self, now: Progress) -> float | None:
        return None


def with_names(*names: str) -> Registry:
    child = Registry(registry)
    for name in names:
        child.add(Shape, name)
    return child


# ------------------------------------------------------------------------------------------------ finding


def test_the_built_in_plugins_come_by_entry_point() -> None:
    assert {"one_shot", "gmp", "delayed_gmp"} <= set(registry.names("schedule"))
    assert {"magnitude", "random"} <= set(registry.names("criterion"))
    assert {entry.plugin.kind for entry in registry.entries()} <= set(registries.KINDS)
    assert registry.names("schedule") == sorted(registry.names("schedule"))


def test_a_found_plugin_knows_its_name_version_and_source() -> None:
    entry, options = registry.find("schedule", "gmp")
    assert options == {}
    assert (entry.name, entry.plugin.name, entry.plugin.version) == ("gmp", "gmp", 1)
    assert "Zhu & Gupta" in entry.plugin.source
    assert entry.digest is None
    assert registry.entry_of(entry.plugin(sparsity=0.5)) is entry


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"no schedule is called 'one-shot' \(did you mean 'one_shot'\?\)"):
        registry.find("schedule", "one-shot")
    with pytest.raises(InputError, match=r"no schedule is called 'zzz' \(known: .*gmp.*\)"):
        registry.find("schedule", "zzz")


def test_a_name_of_another_kind_is_not_found() -> None:
    with pytest.raises(InputError, match="no criterion is called 'gmp'"):
        registry.find("criterion", "gmp")


@pytest.mark.parametrize(
    ("pattern", "name", "options"),
    [
        ("wrn{depth}_{width}", "wrn16_2", {"depth": 16, "width": 2}),
        ("timm/{label}", "timm/vit_tiny.in1k", {"label": "vit_tiny.in1k"}),
        ("a.b{depth}", "a.b7", {"depth": 7}),
    ],
)
def test_a_name_may_carry_options(pattern: str, name: str, options: dict[str, object]) -> None:
    entry, found = with_names(pattern).find("schedule", name)
    assert entry.name == pattern
    assert found == options


@pytest.mark.parametrize(
    "name", ["wrn16", "wrn16_x", "wrn_2", "xwrn16_2", "wrn16_2x", "axb7", "wrn{depth}_{width}", "wrn١_2"]
)
def test_a_name_that_does_not_fit_the_pattern_is_unknown(name: str) -> None:
    with pytest.raises(InputError, match="no schedule is called"):
        with_names("wrn{depth}_{width}", "a.b{depth}").find("schedule", name)


def test_an_exact_name_comes_before_a_pattern() -> None:
    child = with_names("net{depth}", "net5")
    assert child.find("schedule", "net5")[0].name == "net5"
    assert child.find("schedule", "net6")[0].name == "net{depth}"


# ------------------------------------------------------------------------------------------------ registering


def test_only_plugins_can_be_registered() -> None:
    class Nothing:
        pass

    with pytest.raises(InputError, match="Nothing is no plugin: derive it from one of Augmentation"):
        register("nothing")(Nothing)  # type: ignore[type-var]


def test_an_instance_of_an_unregistered_class_has_no_entry() -> None:
    class Unknown(Shape):
        name = "unknown"

    with pytest.raises(InputError, match="the schedule Unknown is not registered"):
        registry.entry_of(Unknown(sparsity=0.5))


def test_entry_points_of_others_are_loaded_once_and_when_their_kind_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Point:
        dist = None

        def __init__(self, name: str) -> None:
            self.name = name

        def load(self) -> ModuleType:
            loaded.append(self.name)
            return ModuleType(self.name)

    points = [Point("schedule"), Point("criterion"), Point("somebody")]
    monkeypatch.setattr(registries, "entry_points", lambda group: points)
    fresh = Registry()
    child = Registry(fresh)
    assert list(child.entries("schedule")) == []
    assert loaded == ["schedule", "somebody"]
    assert list(child.entries("criterion")) == []
    assert list(child.entries()) == []
    assert loaded == ["schedule", "somebody", "criterion"]


# ------------------------------------------------------------------------------------------------ plugin files


def test_a_plugin_file_is_known_to_its_child_alone(tmp_path: Path) -> None:
    child = registry.with_files([write(tmp_path / "mine.py")])
    entry, _ = child.find("schedule", "mine")
    assert entry.plugin(sparsity=0.6).target(Progress(0, 1, 1)) == 0.3  # type: ignore[attr-defined]
    assert (entry.plugin.version, entry.plugin.source) == (3, "a paper")
    assert entry.origin == str(tmp_path / "mine.py")
    assert child.find("schedule", "gmp")[0] is registry.find("schedule", "gmp")[0]
    assert "mine" not in registry.names("schedule")


def test_a_plugin_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py")
    (tmp_path / "link.py").symlink_to(file)
    child = registry.with_files([file, tmp_path / ".." / tmp_path.name / "mine.py", tmp_path / "link.py"])
    assert list(child.files) == [file.resolve()]
    assert "mine" in child.names("schedule")


def test_the_digest_follows_the_files_content(tmp_path: Path) -> None:
    def entry(value: str) -> Entry:
        return registry.with_files([write(tmp_path / "mine.py", value=value)]).find("schedule", "mine")[0]

    first, second, again = entry("0.1"), entry("0.2"), entry("0.1")
    assert first.digest is not None
    assert first.digest == again.digest != second.digest
    assert second.plugin(sparsity=0.5).target(Progress(0, 1, 1)) == 0.2  # type: ignore[attr-defined]


def test_files_may_not_take_each_others_names_or_those_of_built_in_plugins(tmp_path: Path) -> None:
    first, second = write(tmp_path / "first.py"), write(tmp_path / "second.py")
    with pytest.raises(InputError, match=r"second\.py:4: the schedule 'mine' is registered already, by .*first\.py"):
        registry.with_files([first, second])
    with pytest.raises(InputError, match=r"the schedule 'gmp' is registered already, by .*gmp\.py"):
        registry.with_files([write(tmp_path / "third.py", name="gmp")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"bad\.py: registers no plugin: decorate a class with @prunekit\.register"),
        ("x = 1\ny = (\n", r"bad\.py:2: the plugin file fails: SyntaxError"),
        ("x = 1\n\nraise KeyError('no')\n", r"bad\.py:3: the plugin file fails: KeyError: 'no'"),
        ("import no_such_module_anywhere\n", r"bad\.py:1: .*ModuleNotFoundError: No module named"),
    ],
)
def test_a_plugin_file_that_fails_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        registry.with_files([file])
    assert "\n" not in str(raised.value)


def test_a_plugin_file_that_is_missing_or_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.py: cannot read the plugin file: No such file"):
        registry.with_files([tmp_path / "none.py"])
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt: a plugin file is a Python file"):
        registry.with_files([tmp_path / "notes.txt"])


def test_a_failed_file_does_not_catch_later_registrations(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise ValueError('no')\n")
    with pytest.raises(InputError):
        registry.with_files([tmp_path / "bad.py"])
    assert registries._ACTIVE.get() is registry


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_registering_the_same_names_in_any_order_lists_them_sorted(tmp_path: Path, order: list[int]) -> None:
    files = [write(tmp_path / "b.py", name="bbb"), write(tmp_path / "a.py", name="aaa")]
    child = registry.with_files([files[i] for i in order])
    assert [name for name in child.names("schedule") if name in ("aaa", "bbb")] == ["aaa", "bbb"]


def test_a_plugin_file_may_build_on_a_built_in_plugin_without_taking_it_over(tmp_path: Path) -> None:
    """In a process of its own: there the built-in plugin is read for the first time by the plugin file."""
    file = tmp_path / "late.py"
    file.write_text(
        "from prunekit import register\n"
        "from prunekit.plugins.schedules.one_shot import OneShot\n\n"
        '@register("late")\nclass Late(OneShot):\n    """One shot, later."""\n'
    )
    script = (
        "from pathlib import Path\nfrom prunekit.registry import registry\n"
        f"child = registry.with_files([Path({str(file)!r})])\n"
        "one, late = child.find('schedule', 'one_shot')[0], child.find('schedule', 'late')[0]\n"
        "print(one.digest is None, late.digest is not None, 'one_shot' in registry.names('schedule'),"
        " 'late' in registry.names('schedule'))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "True True True False\n"


def test_a_plugin_file_cannot_take_the_name_of_a_built_in_plugin(tmp_path: Path) -> None:
    """Not even before the built-in plugins of the kind have been looked up."""
    file = tmp_path / "thief.py"
    file.write_text(
        "from prunekit import Schedule, register\n\n"
        '@register("gmp")\nclass Thief(Schedule):\n    """Not GMP."""\n\n'
        "    def target(self, now):\n        return None\n"
    )
    read = f"registry.with_files([Path({str(file)!r})])"
    script = f"from pathlib import Path\nfrom prunekit.registry import registry\n{read}\n"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "the schedule 'gmp' is registered already, by" in result.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys\nsys.exit(0)\n", "mine.py:2: the plugin file fails: SystemExit"),
        (
            "from prunekit import Schedule, register\n\n"
            '@register("twin")\nclass One(Schedule):\n    def target(self, now):\n        return None\n\n'
            '@register("twin")\nclass Two(Schedule):\n    def target(self, now):\n        return None\n',
            "the schedule 'twin' is registered already",
        ),
    ],
)
def test_a_plugin_file_that_ends_the_program_or_uses_a_name_twice_is_refused(
    tmp_path: Path, source: str, message: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(InputError, match=message):
        registry.with_files([file])


def test_a_plugin_that_lacks_a_method_is_refused_where_it_is_registered(tmp_path: Path) -> None:
    file = tmp_path / "half.py"
    file.write_text(
        'from prunekit import Schedule, register\n\n\n@register("half")\nclass Half(Schedule):\n    """No target."""\n'
    )
    with pytest.raises(InputError, match=r"half\.py:4: Half: the schedule 'half' lacks target"):
        registry.with_files([file])
