"""``prunekit plugins check`` and ``prunekit.testing``: what does not hold is said, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest
from click.testing import CliRunner, Result

from prunekit import Progress, Schedule, testing
from prunekit.cli.plugins import plugins
from prunekit.errors import InputError, PrunekitError
from prunekit.registry import registry

BAD = '''
import torch
from prunekit import Criterion, Progress, Schedule, register

@register("noise")
class Noise(Criterion):
    """Draws from torch's own generator, in train mode."""

    strength: float
    """Of the noise."""

    def scores(self, context):
        context.model.train()
        return {t.name: self.strength * torch.randn(t.parameter.shape) for t in context.targets}

@register("back")
class Back(Schedule):
    """Comes back."""

    @property
    def steps(self):
        return 2

    def target(self, now: Progress) -> float | None:
        return self.sparsity if now.iteration == 0 else self.sparsity / 2
'''


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.py"
    file.write_text(BAD)
    return file


def check(*arguments: object) -> Result:
    return CliRunner().invoke(plugins, ["check", *map(str, arguments)])


def test_what_does_not_hold_is_said_line_by_line_and_makes_the_command_fail(bad: Path) -> None:
    result = check(bad, "--name", "back")
    assert (
        "  ✗ targets never fall and end at the sparsity asked for: the target falls from 0.9 to 0.45" in result.output
    )
    assert "  ✓ a target depends on the time alone\n" in result.output
    assert isinstance(result.exception, PrunekitError)
    assert result.exception.exit_code == 1
    assert "1 of 7 checks do not hold" in str(result.exception)


def test_a_pipe_gets_json(bad: Path) -> None:
    (report,) = json.loads(check(bad, "--name", "noise", "--set", "strength=0.5", "--format", "json").output)
    held = {each["name"]: each["held"] for each in report["checks"]}
    details = {each["name"]: each["detail"] for each in report["checks"]}
    assert (report["kind"], report["name"]) == ("criterion", "noise")
    assert held["the_model_is_as_it_was"] is False
    assert "train or eval mode, global random state" in details["the_model_is_as_it_was"]
    assert held["the_same_generator_gives_the_same_scores"] is False
    assert held["every_target_has_scores_of_its_shape_that_are_numbers"] is True
    assert held["what_is_pruned_stays_pruned"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "nois"], r"registers no 'nois' \(did you mean 'noise'\?\)"),
        (["--set", "strength=1"], "registers noise, back: --name says whose option --set is"),
        (["--name", "noise"], "noise: strength has no default: --set strength=VALUE"),
        (["--name", "noise", "--set", "strength=a"], "noise: strength: expected a valid number, not 'a'"),
        (["--name", "noise", "--set", "force=1"], "noise: force: unknown key"),
        (["--name", "back", "--set", "sparsity=1"], "back: sparsity: expected less than 1, not 1"),
    ],
)
def test_names_and_options_that_cannot_be_are_bad_input(bad: Path, arguments: list[str], message: str) -> None:
    result = check(bad, *arguments)
    assert isinstance(result.exception, InputError)
    result = check(bad, *arguments)
    with pytest.raises(InputError, match=message):
        raise result.exception  # type: ignore[misc]


@pytest.mark.parametrize("command", [["check"], ["list", "--file"], ["show", "x", "--file"]])
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.py", "x = 1\ny = (\n", r"bad\.py:2: the plugin file fails: SyntaxError: '\(' was never closed$"),
        ("bad.py", "x = 1\n", r"bad\.py: registers no plugin"),
        ("bad.txt", "hello", r"bad\.txt: a plugin file is a Python file"),
        ("bad.py", None, r"bad\.py: cannot read the plugin file: No such file"),
        (
            "bad.py",
            BAD.replace('"noise"', '"magnitude"'),
            r"bad\.py:\d+: .*'magnitude' is registered already, by .*",
        ),
    ],
)
def test_a_bad_file_is_one_line_in_every_command(
    tmp_path: Path, command: list[str], name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    result = CliRunner().invoke(plugins, [*command, str(tmp_path / name)])
    assert isinstance(result.exception, InputError)
    with pytest.raises(InputError, match=message):
        raise result.exception
    assert "\n" not in str(result.exception)


def test_importing_the_checks_of_a_schedule_imports_neither_torch_nor_pytest() -> None:
    code = (
        "import sys, prunekit.testing\nfrom prunekit.plugins.schedules.gmp import GMP\n"
        "print(all(each.held for each in prunekit.testing.check(GMP(sparsity=0.5)) if each.held is not None))\n"
        "print({'torch', 'pytest'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\nset()\n"


def test_a_class_something_else_and_an_unknown_kind_are_refused() -> None:
    gmp = registry.find("schedule", "gmp")[0].plugin
    with pytest.raises(InputError, match="GMP is a class: pass a plugin with its options"):
        testing.check(gmp)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 is no plugin"):
        testing.check(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no kind 'criterium' of plugin \(did you mean 'criterion'"):
        testing.checks("criterium")
    with pytest.raises(InputError, match="is no criterion"):
        testing.checks("criterion")[0](gmp(sparsity=0.5))  # type: ignore[call-arg]


def test_a_plugin_that_is_not_registered_is_refused() -> None:
    class Nameless(Schedule):
        def target(self, now: Progress) -> float | None:
            return self.sparsity

    with pytest.raises(InputError, match=r'Nameless has no name: decorate it with @prunekit\.register\("nameless"\)'):
        testing.check(Nameless(sparsity=0.5))


def test_what_a_plugin_raises_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        "from prunekit import Schedule, register\n\n"
        '@register("broken")\nclass Broken(Schedule):\n    """Fails."""\n\n'
        "    def target(self, now):\n        return {}[now.total]\n"
    )
    broken = registry.with_files([file]).find("schedule", "broken")[0].plugin(sparsity=0.5)  # type: ignore[call-arg]
    held = {each.name: each for each in testing.check(broken)}["a_target_depends_on_the_time_alone"]
    assert (held.held, held.detail) == (False, "KeyError: 0 (broken.py:8)")


def measuring(tmp_path: Path, body: str) -> list[bool | None]:
    """Return what the checks say of a measure that observes ``margin``."""
    file = tmp_path / "typo.py"
    file.write_text(
        "from prunekit import InputError, Measure, Summary, register\n\n"
        '@register("typo")\nclass Typo(Measure):\n    """Says something of the margin."""\n\n'
        f'    columns = ("margin",)\n\n{indent(dedent(body), "    ")}'
    )
    typo = registry.with_files([file]).find("measure", "typo")[0].plugin()
    return [each.held for each in testing.check(typo) if each.name.startswith("it_summarises")]


def test_a_measure_that_reads_a_column_which_it_does_not_observe_breaks_its_contract(tmp_path: Path) -> None:
    body = """
        def observe(self, member):
            return {"margin": member.logits()[:, 0]}

        def summarise(self, study, comparisons):
            return Summary(populations={n: float(p["margins"].mean()) for n, p in study.populations.items()})
        """
    assert set(measuring(tmp_path, body)) == {False}
    assert set(measuring(tmp_path, body.replace("margins", "margin"))) == {True}


@pytest.mark.parametrize("method", ["check(self)", "observe(self, member)"])
def test_a_measure_may_refuse_its_options_or_the_members_of_a_made_up_study(tmp_path: Path, method: str) -> None:
    body = f"""
        def {method}:
            raise InputError("k: there are fewer images than that")

        def summarise(self, study, comparisons):
            return Summary()
        """
    assert set(measuring(tmp_path, body)) == {None}


VIOLATIONS = {
    "it_observes_the_columns_that_it_declares": (
        "measure",
        'columns = ("margin",)\n    def observe(self, member):\n        return {"margins": member.logits()[:, 0]}\n'
        "    def summarise(self, study, comparisons):\n        return Summary()",
    ),
    "it_summarises_populations_that_do_not_differ": (
        "measure",
        "def summarise(self, study, comparisons):\n"
        '        one, two = (study.populations[name]["prediction"] for name in ("dense", "sparse"))\n'
        '        return Summary(populations={"dense": 1 / (one != two).sum()})',
    ),
    "its_tables_are_rectangular": (
        "measure",
        "def summarise(self, study, comparisons):\n"
        '        return Summary(tables=[Table("Odd", (Column("a"), Column("b")), [(1,)])])',
    ),
    "its_module_imports_no_torch": (
        "measure",
        "def summarise(self, study, comparisons):\n        return Summary()\nimport torch",
    ),
    "it_trains_the_parts_that_it_names_and_no_others": (
        "objective",
        'trains = ("encoder", "projector")\n    def loss(self, network, batch):\n'
        "        return network.logits(batch.images[0]).square().mean()",
    ),
    "the_loss_is_a_finite_scalar_and_so_are_gradients": (
        "objective",
        "def loss(self, network, batch):\n        return network.logits(batch.images[0]).detach().mean()",
    ),
    "the_batch_is_not_changed": (
        "objective",
        "def loss(self, network, batch):\n        return network.logits(batch.images[0].mul_(0.5)).square().mean()",
    ),
    "a_target_depends_on_the_time_alone": (
        "schedule",
        "needs_training = True\n    def target(self, now):\n        _asked.append(now)\n"
        "        return self.sparsity * len(_asked) % 1\n_asked = []",
    ),
    "targets_never_fall_and_end_at_the_sparsity_asked_for": (
        "schedule",
        "def target(self, now):\n        return self.sparsity / 2",
    ),
    "it_says_what_it_and_its_options_mean": (
        "schedule",
        "silent: int = 3\n    def target(self, now):\n        return self.sparsity",
    ),
}


@pytest.mark.parametrize("broken", VIOLATIONS)
def test_a_check_finds_what_breaks_it(tmp_path: Path, broken: str) -> None:
    kind, body = VIOLATIONS[broken]
    file = tmp_path / "mine.py"
    file.write_text(
        "from prunekit import Column, Measure, Objective, Schedule, Summary, Table, register\n\n"
        f'@register("mine")\nclass Mine({kind.title()}):\n    """Breaks a rule."""\n\n    {body}\n'
    )
    options = {"sparsity": 0.5} if kind == "schedule" else {}
    mine = registry.with_files([file]).find(kind, "mine")[0].plugin.model_validate(options)
    (check,) = [each for each in testing.checks(kind) if each.name == broken]
    with pytest.raises((AssertionError, FloatingPointError)):
        check(mine)
