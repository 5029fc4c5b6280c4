"""What the person at the keyboard got wrong."""

import click


class BadInput(click.ClickException):
    """Ends the command with a sentence on stderr and status 2, as click does for a wrong option."""

    exit_code = 2
