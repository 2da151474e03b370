"""Ids of OpenSearch may begin with a hyphen, and every command takes them as they are."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from release_tool.steps.lazy import take_ids


@pytest.fixture
def command():
    @click.command()
    @click.argument("models", nargs=-1)
    @click.option("--a-flag-of-20-letters", "flag", is_flag=True)
    @click.option("-v", "count", count=True)
    @click.option("--new")
    def made(models, flag, count, new):
        click.echo(f"{models} {flag} {count} {new}")

    take_ids(made)
    take_ids(made)
    return made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["-iCAAKIBXsi3Be4wgPEV", "q1hdAKIBhidjG5ntl-4m"],
            "('-iCAAKIBXsi3Be4wgPEV', 'q1hdAKIBhidjG5ntl-4m') False 0 None",
        ),
        (
            ["q1hdAKIBhidjG5ntl-4m", "--CAAKIBXsi3Be4wgPEV", "-v"],
            "('q1hdAKIBhidjG5ntl-4m', '--CAAKIBXsi3Be4wgPEV') False 1 None",
        ),
        (["--new", "-vCAAKIBXsi3Be4wgPEV", "-vv"], "() False 2 -vCAAKIBXsi3Be4wgPEV"),
        (["--a-flag-of-20-letters"], "() True 0 None"),
    ],
)
def test_an_id_that_begins_with_a_hyphen_is_an_argument(command, words, said):
    done = CliRunner().invoke(command, words)
    assert done.output.strip() == said


def test_what_is_no_id_is_still_no_option(command):
    done = CliRunner().invoke(command, ["-iCAAKIB"])
    assert done.exit_code == 2
    assert "No such option" in done.output
