"""`emafusion config`: is the configuration right, and what does it say with every default filled in."""

from __future__ import annotations

import typer
import yaml

from emafusion_cli.surroundings import OUT, ConfigOption, JsonFlag, load_configuration
from servicekit.settings.masked import masked

app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")


@app.command()
def validate(config: ConfigOption = None) -> None:
    """Check the configuration file and the overrides in the environment; list everything that is wrong."""
    loaded = load_configuration(config)
    settings = loaded.settings
    OUT.print(
        f"{loaded.path} is valid: {len(settings.models)} models, {len(settings.judge.judges)} judges, "
        f"{len(settings.cascade.policies)} policies, policy hash {loaded.policy_hash}",
        soft_wrap=True,
    )


@app.command()
def show(config: ConfigOption = None, *, as_json: JsonFlag = False) -> None:
    """Print the whole configuration, defaults included. Secrets appear as the places where they are kept."""
    shown = masked(load_configuration(config).settings)
    if as_json:
        OUT.print_json(data=shown)
    else:
        print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="")
