"""The folder of a built catalogue, and the goals beside it.

    products.arrow    the products, see `recrl.webshop.products`
    index/            the search index, see `recrl.webshop.indexing`
    skipped.json      records that were left out as invalid, with reasons; only where there were any
    manifest.json     format version, sources, noun tagger, counts, fingerprint, hashes; see `recrl.webshop.sealed`
    goals/KIND-SEED/  goals of a kind (synthetic, human) and a seed, see `recrl.webshop.goal_list`; sealed by itself

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
from recrl.webshop.goal_list import GOAL_ARRAYS, GoalList, draw_goals, goals_fingerprint
from recrl.webshop.products import PRODUCTS_FILE, ProductStore
from recrl.webshop.sealed import MANIFEST, hash_of, made_once, map_array, read_sealed, seal

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
    progress: Callable[[str], None] | None = None,
) -> tuple[GoalList, str]:
    """The goals of a built catalogue and their fingerprint; drawn and stored if they are not there yet.

    Args:
        manifest: of the folder, from `recrl.webshop.sealed.read_sealed`; store: its products.
        progress: called with a line of text now and then while goals are drawn.

    Raises:
        CatalogError: no such goals can be made, or what is stored is incomplete or altered.
        StorageError: they cannot be stored.
    """
    name = f"{'human' if human else 'synthetic'}-{seed}"
    place = folder / GOALS_FOLDER / name
    if not place.exists() and not os.access(folder, os.W_OK):
        place = cache_dir() / GOALS_FOLDER / manifest["manifest_sha256"][:24] / name

    def draw(target: Path) -> None:
        arrays = draw_goals(store, seed, human=human)
        count = len(arrays["order"])

        def report(done: int) -> None:
            if progress is not None:
                progress(f"goals of seed {seed}: {done}/{count}")

        fingerprint = goals_fingerprint(GoalList(store, arrays, human=human), report)
        with replace_folder(target) as temporary:
            for array in GOAL_ARRAYS:
                np.save(temporary / f"{array}.npy", arrays[array])
            about = {"catalog": manifest["manifest_sha256"], "goals_sha256": fingerprint, "num_goals": count}
            seal(temporary, about | {"goal_seed": seed, "human_goals": human})

    made_once(place, cache_dir() / "locks" / f"goals-{hash_of(str(place.resolve()))[:24]}.lock", draw)
    sealed = read_sealed(place)
    if sealed["catalog"] != manifest["manifest_sha256"]:
        raise CatalogError(f"{place} belongs to another catalogue; remove it, it is drawn again on next use")
    arrays = {array: map_array(place / f"{array}.npy") for array in GOAL_ARRAYS}
    return GoalList(store, arrays, human=human), sealed["goals_sha256"]
