"""``prunekit recipes``."""

from __future__ import annotations

import json

import click


@click.group(invoke_without_command=True)
@click.pass_context
def recipes(context: click.Context) -> None:
    """List or show the recipes that ship, or print the schema that editors complete recipes from.

    \b
    Example:
      prunekit recipes show scl_onshot_90 > mine.yaml
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@recipes.command("list")
def list_() -> None:
    """List the recipes that ship with prunekit."""
    from prunekit.documents import read
    from prunekit.recipe import shipped

    for name, path in shipped().items():
        description = read(path).plain().get("description", "")
        click.echo(f"{name}  {' '.join(description.split())}")


@recipes.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe that ships."""
    from prunekit.recipe import locate

    click.echo(locate(name).read_text(encoding="utf-8"), nl=False)


@recipes.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, built from the plugins' own fields."""
    from prunekit.schema import recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
