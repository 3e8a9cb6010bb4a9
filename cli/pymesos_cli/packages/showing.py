"""`package search` and `show`, and the repositories of a user."""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml

from pymesos_cli.output import print_json, print_table
from pymesos_cli.packages.index import Entry, parse_key
from pymesos_cli.packages.options import shown
from pymesos_cli.packages.package import Installing, Package
from pymesos_cli.packages.parts import PackageError, parse_version
from pymesos_cli.packages.repositories import NO_REPOSITORY, Repositories
from pymesos_cli.packages.template import as_text
from pymesos_core.text import count_of


def search(repositories: Repositories, words: tuple[str, ...], *, as_json: bool) -> None:
    """`pymesos-cli package search`. Raises PackageError."""
    found: list[tuple[str, Entry]] = []
    problems: list[str] = []
    known = repositories.all()
    if not known:
        raise PackageError(NO_REPOSITORY)
    for one in known:
        try:
            entries = repositories.index(one).entries
        except PackageError as error:
            problems.append(str(error))
            continue
        newest: dict[str, Entry] = {}
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.version)):
            newest[entry.name] = entry
        found += [(one.name, entry) for entry in newest.values()]
    fits = [
        (where, entry)
        for where, entry in found
        if all(word.lower() in f"{entry.name} {entry.summary}".lower() for word in words)
    ]
    _print_found(fits, problems, as_json=as_json)
    if problems:
        raise PackageError("\n".join(problems))


def _print_found(
    fits: Sequence[tuple[str, Entry]], problems: Sequence[str], *, as_json: bool
) -> None:
    if as_json:
        print_json(
            [
                {
                    "name": entry.name,
                    "version": str(entry.version),
                    "summary": entry.summary,
                    "repository": where,
                    "sha256": entry.sha256,
                }
                for where, entry in fits
            ]
        )
        return
    rows = [(entry.name, str(entry.version), where, entry.summary) for where, entry in fits]
    headers = ("NAME", "VERSION", "REPOSITORY", "SUMMARY")
    if rows or not problems:
        print_table(headers, rows, "no package is like that", ("SUMMARY",))


def show(repositories: Repositories, text: str, version: str, *, as_json: bool) -> None:
    """`pymesos-cli package show`. Raises PackageError."""
    found = repositories.find(text, parse_version(version) if version else None)
    package = repositories.load(found)
    if as_json:
        print_json(
            {
                "name": package.name,
                "version": str(package.version),
                "repository": found.repository.name,
                "sha256": found.entry.sha256,
                "summary": package.summary,
                "options": package.options.schema,
                "readme": package.readme,
                "notes": {str(key): words for key, words in package.notes.items()},
                "job": package.template,
            }
        )
        return
    print(f"{package} of {found.repository.name}: {package.summary}\n")
    print(package.readme.rstrip("\n"))
    print("\nOptions\n")
    required = package.options.schema.get("required", ())
    rows = [
        (
            name,
            as_text(one["default"]) if "default" in one else "required" * (name in required),
            shown(one),
            one["description"],
        )
        for name, one in package.options.known.items()
    ]
    print_table(("NAME", "DEFAULT", "VALUE", "WHAT IT IS"), rows, "none", ("WHAT IT IS",))
    for one_version, words in sorted(package.notes.items(), reverse=True):
        print(f"\nWhat to know of an upgrade to {one_version}\n{words}")


def print_job(package: Package, asked: Installing) -> None:
    """`pymesos-cli package install --print`. Raises PackageError."""
    document = json.loads(package.job(asked).document)
    print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


def add_repository(repositories: Repositories, name: str, location: str, key: str) -> None:
    """`pymesos-cli package repository add`. Raises PackageError."""
    parse_key(key)
    index = repositories.add(name, location, key)
    print(f"the repository {name} is added; it has {count_of(len(index.entries), 'package')}")


def list_repositories(repositories: Repositories, *, as_json: bool) -> None:
    """`pymesos-cli package repository list`. Raises PackageError."""
    known = repositories.all()
    if as_json:
        print_json([{"name": o.name, "location": o.location, "key": o.key} for o in known])
        return
    rows = [(one.name, one.location, one.key) for one in known]
    print_table(("NAME", "LOCATION", "KEY"), rows, "no repositories", ("LOCATION",))


def remove_repository(repositories: Repositories, name: str) -> None:
    """`pymesos-cli package repository remove`. Raises PackageError."""
    repositories.remove(name)
    print(f"the repository {name} is removed; jobs made from its packages stay")
