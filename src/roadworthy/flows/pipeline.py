"""Pipelines of CI for a system's folder: what is checked on each change, and what is released from the main branch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from roadworthy.errors import Conflict, InputError, nearest

GITHUB = """\
# Written by `roadworthy ci github`. Each change is scanned, checked and tested; the main branch trains, and what passes
# the gates of system.yaml goes live. The home (log, releases, evidence) must outlive a run: give the variable
# ROADWORTHY_HOME the path of a folder that the runner keeps.
name: roadworthy
on:
  push:
  pull_request:
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: if [ -f requirements.txt ]; then pip install -r requirements.txt; else pip install roadworthy pytest; fi
      - run: roadworthy scan . --fail-on error
      - run: roadworthy check
      - run: if [ -d tests ]; then python -m pytest tests; fi
  release:
    needs: check
    if: github.ref_name == github.event.repository.default_branch && github.event_name == 'push'
    runs-on: self-hosted
    concurrency: roadworthy-release
    env:
      ROADWORTHY_HOME: ${{ vars.ROADWORTHY_HOME || '.roadworthy' }}
    steps:
      - uses: actions/checkout@v4
      - run: if [ -f requirements.txt ]; then pip install -r requirements.txt; else pip install roadworthy; fi
      - run: roadworthy train
      - run: roadworthy evidence --json > evidence.json
      - run: roadworthy gate
      - run: roadworthy promote
      - if: always()
        uses: actions/upload-artifact@v4
        with:
          name: evidence
          path: evidence.json
"""

GITLAB = """\
# Written by `roadworthy ci gitlab`. Each change is scanned, checked and tested; the main branch trains, and what passes
# the gates of system.yaml goes live. The home (log, releases, evidence) must outlive a run: give the variable
# ROADWORTHY_HOME the path of a folder that the runner keeps.
image: python:3.12
stages: [check, release]
check:
  stage: check
  script:
    - if [ -f requirements.txt ]; then pip install -r requirements.txt; else pip install roadworthy pytest; fi
    - roadworthy scan . --fail-on error
    - roadworthy check
    - if [ -d tests ]; then python -m pytest tests; fi
release:
  stage: release
  resource_group: roadworthy-release
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  script:
    - if [ -f requirements.txt ]; then pip install -r requirements.txt; else pip install roadworthy; fi
    - roadworthy train
    - roadworthy evidence --json > evidence.json
    - roadworthy gate
    - roadworthy promote
  artifacts:
    when: always
    paths: [evidence.json]
"""

PIPELINES: Mapping[str, tuple[str, str]] = MappingProxyType({
    "github": (".github/workflows/roadworthy.yml", GITHUB),
    "gitlab": (".gitlab-ci.yml", GITLAB),
})  # fmt: skip


def write_pipeline(folder: Path, host: str) -> tuple[Path, bool]:
    """Write the pipeline of a host into a system's folder: its path, and whether it was new.

    Raises InputError for an unknown host, and Conflict, with nothing written, where another file has its name.
    """
    if host not in PIPELINES:
        raise InputError(f"expected one of {', '.join(PIPELINES)}, got '{host}'", hint=nearest(host, PIPELINES))
    name, content = PIPELINES[host]
    target = folder / name
    if target.exists():
        if target.read_text(encoding="utf-8") == content:
            return target, False
        raise Conflict(f"{target} is there and says something else", hint="move it away, or change it by hand")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.write_text(content, encoding="utf-8")
    unfinished.replace(target)
    return target, True
