"""Pipelines of CI: valid, made of commands that there are, and never written over somebody's work."""

from __future__ import annotations

import json
import re

import pytest
from ruamel.yaml import YAML
from small_world import write_system

from roadworthy.cli import COMMANDS, run
from roadworthy.flows.pipeline import PIPELINES


@pytest.fixture
def system(tmp_path):
    """A system's folder."""
    return write_system(tmp_path / "system")


def written(system, host):
    """The pipeline that the command writes, parsed."""
    assert run(["ci", host, "--system", str(system)]) == 0
    return YAML(typ="safe").load((system / PIPELINES[host][0]).read_text())


def steps_of(made, host):
    """What each job runs."""
    if host == "github":
        return {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in made["jobs"].items()}
    return {name: made[name]["script"] for name in ("check", "release")}


@pytest.mark.parametrize("host", PIPELINES)
def test_a_pipeline_runs_real_commands_in_their_order(system, host):
    """The file is YAML; changes are scanned, checked and tested; then train, gate and promote follow each other."""
    steps = steps_of(written(system, host), host)
    typed = {name: re.findall(r"roadworthy ([a-z]+)", "\n".join(lines).replace("install roadworthy", ""))
             for name, lines in steps.items()}  # fmt: skip
    assert typed == {"check": ["scan", "check"], "release": ["train", "evidence", "gate", "promote"]}
    known = {name for commands in COMMANDS.values() for name in commands}
    assert {command for lines in typed.values() for command in lines} <= known
    assert any("pytest tests" in line for line in steps["check"])
    for line in (line for lines in steps.values() for line in lines if line.startswith("roadworthy ")):
        command, *arguments = line.split(">")[0].split()[1:]
        assert run([command, *arguments, "--help"]) == 0


def test_a_github_release_waits_for_the_checks_and_for_the_main_branch(system):
    """No pull request trains or releases, and two releases never run at once."""
    release = written(system, "github")["jobs"]["release"]
    assert release["needs"] == "check"
    assert "default_branch" in release["if"]
    assert release["concurrency"]
    assert written(system, "gitlab")["release"]["rules"] == [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}]


def test_a_changed_file_is_left_alone(system, capsysbinary):
    """Written again it is as it should be; changed by hand it is refused and stays."""
    path = system / PIPELINES["github"][0]
    assert [run(["ci", "--system", str(system)]) for _ in range(2)] == [0, 0]
    assert "is as it should be" in capsysbinary.readouterr().out.decode()
    path.write_text("name: ours\n")
    assert run(["ci", "github", "--system", str(system)]) == 2
    assert "is there and says something else" in capsysbinary.readouterr().err.decode()
    assert path.read_text() == "name: ours\n"


def test_an_unknown_host_is_told_the_nearest(system, capsysbinary):
    """Nothing is written for a host that is not known."""
    assert run(["ci", "githb", "--system", str(system)]) == 2
    assert "got 'githb' (did you mean 'github'?)" in capsysbinary.readouterr().err.decode()
    assert not (system / ".github").exists()


def test_the_pipeline_is_no_part_of_the_release(system, capsysbinary):
    """A release's digest covers the system, and not how it is built; `--json` says where the file is."""
    from roadworthy.flows.declare import read_system

    before = read_system(system).files
    assert run(["ci", "gitlab", "--system", str(system), "--json"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["new"] is True
    assert read_system(system).files == before
