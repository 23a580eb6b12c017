"""``prunekit plugins``."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import click

from .plugins_check import check
from .plugins_new import new


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List the plugins, show the options of one, begin one of your own, or check what it keeps to.

    \b
    Examples:
      prunekit plugins list
      prunekit plugins show gmp
      prunekit plugins new criterion my_idea
      prunekit plugins check my_idea.py
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


plugins.add_command(check)
plugins.add_command(new)

_FILES = click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A plugin file to look into as well; repeatable.",
)


@plugins.command("list")
@_FILES
def list_(files: tuple[Path, ...] = ()) -> None:
    """List all plugins by kind."""
    from prunekit.registry import KINDS, registry
    from prunekit.schema import paragraphs_of

    known = registry.with_files(files)
    for kind in sorted(KINDS):
        click.echo(click.style(kind, bold=True))
        for entry in known.entries(kind):
            click.echo(f"  {entry.name:24} {paragraphs_of(entry.plugin)[0]}")
    for failure in known.failures:
        click.echo(f"prunekit: {failure}", err=True)


@plugins.command()
@click.argument("name")
@_FILES
def show(name: str, files: tuple[Path, ...]) -> None:
    """Show the options of a plugin: type, default, meaning, source. NAME may stand in several kinds."""
    from prunekit.errors import InputError, did_you_mean
    from prunekit.registry import KINDS, registry
    from prunekit.schema import options_of, paragraphs_of

    known = registry.with_files(files)
    found = [
        entry
        for kind in sorted(KINDS)
        for entry in known.entries(kind)
        if entry.name == name or ("{" in entry.name and entry.options_in(name) is not None)
    ]
    if not found:
        hint = did_you_mean(name, {entry.name for entry in known.entries()})
        if "did you mean" not in hint:
            hint = " (`prunekit plugins list` names all; --file FILE looks into a plugin file, too)"
        raise InputError("; ".join([f"no plugin is called {name!r}{hint}", *known.failures]))
    for i, entry in enumerate(found):
        first, *others = paragraphs_of(entry.plugin)
        click.echo(("\n" if i else "") + f"{click.style(entry.name, bold=True)} ({entry.plugin.kind}): {first}")
        for paragraph in others:
            click.echo(indent(paragraph, "  "))
        if entry.plugin.source:
            click.echo(f"source: {entry.plugin.source}")
        offered = f" (package {entry.package})" if entry.package else ""
        click.echo(f"version {entry.plugin.version}, from {entry.origin}{offered}")
        for option in options_of(entry.plugin):
            default = "required" if option.required else f"default {option.default}"
            click.echo(f"  {option.name}: {option.type}, {default}")
            click.echo(f"      {option.meaning}")
