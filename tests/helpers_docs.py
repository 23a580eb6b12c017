"""The pages of the documentation: what is in their blocks, and how the commands of them are run by tests."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = {page.name: page for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]}

LEFT = {
    r"\.venv/bin/|python3 -m venv": "sets up, runs the main job, tests, lints: `.ci/run` does all of it",
    r"\.ci/run": "that is the continuous integration itself",
}
"""Commands that no test here runs, by how they begin, and why. That a file they name exists is tested."""

RUN_ELSEWHERE = {
    "write_a_pruner.md": "`test_third_party.py` runs it, in its order, and pip installs into a folder of its own",
}
"""Pages whose commands another test runs."""

_ONE_EPOCH = " ".join(
    f"--set {key}=1"
    for key in ("populations.dense_sup.stages.train.epochs", "populations.dense_scl.stages.encoder.epochs")
)
SMALLER = {
    r"prunekit run \S*scl_onshot_90\S*": "--seeds 2 --set model=wrn10_1 --set populations.dense.stages.encoder.epochs=2"
    " --set populations.dense.stages.classifier.epochs=1 --set populations.sparse.stages.finetune.epochs=1",
    r"prunekit run table1": f"--seeds 1 --set model=wrn10_1 --set 'measures=[accuracy, pie]' {_ONE_EPOCH}"
    " --set 'populations.sup_oneshot_{sparsity}.stages.finetune.epochs=1'"
    " --set populations.dense_scl.stages.classifier.epochs=1",
    r"prunekit run loss_models_mlp_mnist( --profile reduced)?": "--seeds 1 --set data=digits"
    " --set 'populations.{criterion}-exponential-{rounds}-{lambda}.for.lambda=[0.01]'"
    " --set 'populations.{criterion}-exponential-{rounds}-{lambda}.for.criterion=[qm]'"
    " --set populations.dense.stages.train.epochs=1 --set populations.magnitude.stages.finetune.epochs=1",
    r"prunekit run pruning_at_init": "--seeds 1 --set populations.dense.stages.train.epochs=1"
    " --set 'populations.{criterion}-{sparsity}.stages.train.epochs=1'"
    " --set 'populations.synflow-{sparsity}.stages.prune.schedule.rounds=2'",
}
"""Studies that take minutes, by how their command begins, and what is added to it to make them small. Everything else
runs as it stands."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name that its first line gives it, as in ``# softest.py``."""
        found = re.match(r"# ([\w./-]+\.(?:py|yaml|csv|toml))\n", self.text)
        return found[1] if found else None

    @property
    def fragment(self) -> bool:
        """Of Python: whether it has ``...`` in it, or names that it does not define, and cannot run by itself."""
        nodes = list(ast.walk(ast.parse(self.text)))
        if any(isinstance(node, ast.Constant) and node.value is ... for node in nodes):
            return True
        imported = {
            (alias.asname or alias.name).split(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
        names = [node for node in nodes if isinstance(node, ast.Name)]
        stored = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
        known = imported | defined | arguments | stored | set(dir(builtins)) | {"__file__", "__name__"}
        return any(name.id not in known for name in names)

    @property
    def lines(self) -> list[str]:
        """The commands of a shell block, each on a line of its own, without comments."""
        whole = self.text.replace("\\\n", " ")
        return [line for line in (_without_comment(each) for each in whole.splitlines()) if line]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(language, text) for language, text in found]


def files(page: Path) -> dict[str, str]:
    """Return the blocks of a page that are files, by name; the README has those of the pages that it points to, too."""
    pages = [*PAGES.values(), page] if page.name == "README.md" else [page]
    return {block.file: block.text for each in pages for block in blocks(each) if block.file}


def begun_by(command: list[str]) -> list[str]:
    """Return the files that a command begins a plugin with; [] of any other command."""
    if command[:3] != ["prunekit", "plugins", "new"] or len(command) < 5:
        return []
    name = command[4]
    return [f"{name}.py", f"test_{name}.py", f"{name}.yaml"]


def commands(line: str) -> list[list[str]]:
    """Return the arguments of every command on a line of shell, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    tokens = iter(lexer)
    for token in tokens:
        if token in ("&&", "||", "|", ";"):
            found.append([])
        elif token in (">", ">>", "<"):
            next(tokens)
        else:
            found[-1].append(token)
    return [each for each in found if each]


def inline_commands(page: Path) -> list[list[str]]:
    """Return the arguments of every command in the text of a page, but for those that leave something out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [each.replace("\n", " ") for each in re.findall(r"`((?:prunekit|python) [^`]+)`", text)]
    return [commands(each)[0] for each in found if "…" not in each]


def as_run(command: str) -> str | None:
    """Return a command as the tests run it: made smaller where it takes minutes, None where it is left out."""
    if any(re.match(start, command) for start in LEFT):
        return None
    for start, more in SMALLER.items():
        if "--dry-run" not in command and (found := re.match(start, command)):
            return f"{found[0]} {more}{command[found.end() :]}"
    return command


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#(?=\s).*$", "", line).strip()
