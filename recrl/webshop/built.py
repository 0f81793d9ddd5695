"""The folder of a built catalogue, and the goals beside it.

    products.arrow    the products, see `recrl.webshop.products`
    index/            the search index, see `recrl.webshop.indexing`
    skipped.json      records that were left out as invalid, with reasons; only where there were any
    manifest.json     format version, sources, noun tagger, counts, fingerprint, hashes; see `recrl.webshop.sealed`
    goals/KIND-SEED/  goals of a kind (synthetic, human) and a seed, see `recrl.webshop.goal_list`; sealed by itself
    goals/KIND-SEED-WORDING-VERSION/  the fingerprint of the same goals in another wording, which share the arrays

Goals are drawn when they are first asked for and stored in the folder, or, where that cannot be written to, in the
user's cache.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recrl.errors import CatalogError
from recrl.files import cache_dir, replace_folder
from recrl.seals import MANIFEST, hash_of
from recrl.webshop.goal_list import GOAL_ARRAYS, GoalList, draw_goals, goals_fingerprint
from recrl.webshop.products import PRODUCTS_FILE, ProductStore
from recrl.webshop.sealed import made_once, map_array, read_sealed, seal
from recrl.webshop.wording import VERSION

INDEX_FOLDER = "index"
GOALS_FOLDER = "goals"


def is_built(folder: Path) -> bool:
    """Whether this is, or is what is left of, a built catalogue."""
    return (folder / MANIFEST).exists() or (folder / PRODUCTS_FILE).exists()


def open_goals(
    folder: Path,
    manifest: dict[str, Any],
    store: ProductStore,
    *,
    seed: int,
    human: bool,
    wording: str = "template",
    progress: Callable[[str], None] | None = None,
) -> tuple[GoalList, dict[str, str]]:
    """The goals of a built catalogue; drawn and stored if they are not there yet.

    Args:
        manifest: of the folder, from `recrl.webshop.sealed.read_sealed`; store: its products.
        wording: what the goals are said in; any but the template's is for synthetic goals.
        progress: called with a line of text now and then while goals are drawn.

    Returns:
        the goals, and the fingerprints of the same goals in the template's wording and in this one.

    Raises:
        CatalogError: no such goals can be made, or what is stored is incomplete or altered.
        StorageError: they cannot be stored.
    """
    name = f"{'human' if human else 'synthetic'}-{seed}"

    def report(done: int, count: int) -> None:
        if progress is not None:
            progress(f"goals of seed {seed}: {done}/{count}")

    def draw(target: Path) -> None:
        arrays = draw_goals(store, seed, human=human)
        _store(target, manifest, GoalList(store, arrays, human=human, seed=seed), arrays, about, report)

    about = {"goal_seed": seed, "human_goals": human}
    place, sealed = _made(folder, manifest, name, draw)
    arrays = {array: map_array(place / f"{array}.npy") for array in GOAL_ARRAYS}
    goals = GoalList(store, arrays, human=human, seed=seed, wording=wording)
    fingerprints = {"template": sealed["goals_sha256"]}
    if wording != "template":
        in_words = about | {"wording": wording}
        _, said = _made(
            folder,
            manifest,
            f"{name}-{wording}-{VERSION}",
            lambda target: _store(target, manifest, goals, {}, in_words, report),
        )
        fingerprints[wording] = said["goals_sha256"]
    return goals, fingerprints


def _made(
    folder: Path, manifest: dict[str, Any], name: str, make: Callable[[Path], None]
) -> tuple[Path, dict[str, Any]]:
    """A folder of goals and its manifest, made if it is not there yet."""
    place = folder / GOALS_FOLDER / name
    if not place.exists() and not os.access(folder, os.W_OK):
        place = cache_dir() / GOALS_FOLDER / manifest["manifest_sha256"][:24] / name
    made_once(place, cache_dir() / "locks" / f"goals-{hash_of(str(place.resolve()))[:24]}.lock", make)
    sealed = read_sealed(place)
    if sealed["catalog"] != manifest["manifest_sha256"]:
        raise CatalogError(f"{place} belongs to another catalogue; remove it, it is drawn again on next use")
    return place, sealed


def _store(
    target: Path,
    manifest: dict[str, Any],
    goals: GoalList,
    arrays: dict[str, np.ndarray],
    about: dict[str, Any],
    report: Callable[[int, int], None],
) -> None:
    """Writes the arrays of goals and the fingerprint of their texts."""
    fingerprint = goals_fingerprint(goals, lambda done: report(done, len(goals)))
    with replace_folder(target) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        counted = {"catalog": manifest["manifest_sha256"], "goals_sha256": fingerprint, "num_goals": len(goals)}
        seal(temporary, counted | about)
