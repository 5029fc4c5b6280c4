"""`dispatch check --schema`: the JSON Schema of a policy, for editors."""

from __future__ import annotations

from typing import Any

import click


def _print(context: click.Context, _: click.Parameter, asked: Any) -> None:
    if asked:
        from dispatch.policy._schema import schema_text  # noqa: PLC0415 - only this option needs it

        click.echo(schema_text(), nl=False)
        context.exit()


schema_option = click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print,
    help="Print the JSON Schema of a policy file, for editors, and do nothing else.",
)
