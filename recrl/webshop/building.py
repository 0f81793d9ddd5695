"""Building a catalogue's folder from raw files or from another built catalogue.

Products are worked on in parts of a few thousand, one after another or in several processes: nouns are tagged, texts
are analysed and counted, and each part is stored in ``.NAME.building`` beside the output. A build that was interrupted
finds them there and goes on. When all parts are done they are merged into a folder that appears when it is whole.
"""

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pyarrow as pa

from recrl.errors import CatalogError, StorageError, WorkerError
from recrl.files import clear_disk_errors, read_json, replace_folder, sha256_of, write_json
from recrl.webshop.built import INDEX_FOLDER, is_built, open_goals
from recrl.webshop.indexing import Postings, search_text, write_index
from recrl.webshop.products import PRODUCTS_FILE, ROWS_PER_BATCH, SCHEMA, ProductStore, product_batch
from recrl.webshop.rawfiles import KeptRecords, RawProduct, find_raw_files
from recrl.webshop.sealed import FORMAT_VERSION, read_sealed, seal

Nouns = Callable[[Sequence[str]], list[tuple[str, ...]]]
Say = Callable[[str], None]

BUILDING_ENDING = ".building"
SETTINGS_FILE, SKIPPED_FILE = "settings.json", "skipped.json"
LARGE_FILE = 64 << 20  # bytes of raw products; a larger file is worked on by several processes
DISK_PER_RAW_BYTE = 4.0  # a generous bound on parts and folder together, in multiples of the unpacked products file
UNPACKED_PER_GZIP_BYTE = 5.0


def build_catalog(
    raw_folder: str | Path,
    output_dir: str | Path,
    *,
    num_products: int | None = None,
    skip_invalid: bool = False,
    num_workers: int | None = None,
    nouns: Nouns | None = None,
    tagger: dict[str, str] | None = None,
    say: Say = lambda text: None,
) -> Path:
    """Builds a catalogue's folder from raw files.

    Args:
        raw_folder: holds the raw files; never written to.
        output_dir: takes the built catalogue; one that holds this very catalogue already is left as it is.
        num_products: keep the first N raw records only.
        skip_invalid: leave out records that cannot be used and list them in ``skipped.json``, instead of stopping.
        num_workers: processes; without it one for a small file, else one per core.
        nouns, tagger: titles -> noun tokens of each, and the record of what found them; by default spaCy does.
        say: called with a line of text on what is needed and how far it is.

    Raises:
        CatalogError: bad raw files, no tagger installed, or output_dir holds something else.
        StorageError: the disk is full or too small; nothing is left under output_dir.
        WorkerError: one of several processes was killed; the finished parts are kept.
    """
    output_dir = Path(output_dir)
    if num_workers is not None and num_workers < 1:
        raise CatalogError(f"num_workers={num_workers}, expected at least 1")
    if output_dir.exists() and not is_built(output_dir):
        raise CatalogError(f"{output_dir} exists; choose another --output_dir or remove it")
    files = find_raw_files(Path(raw_folder))
    records = KeptRecords(files, num_products=num_products, skip_invalid=skip_invalid)
    if nouns is None or tagger is None:
        from recrl.webshop import tagger as spacy_tagger

        nouns, tagger = spacy_tagger.nouns, spacy_tagger.tagger_record()
    size = _unpacked_size(files["products"])
    if num_products is None and not output_dir.exists():
        _check_disk(output_dir, size, say)
    say("reading the raw files' hashes")
    sources = {role: {"name": path.name, "sha256": sha256_of(path)} for role, path in files.items()}
    for source in sources.values():
        say(f"{source['name']} has the SHA-256 {source['sha256']}")
    if output_dir.exists():
        _refuse_other_build(output_dir, sources, tagger, num_products)
        say(f"{output_dir} is complete")
        _draw_first_goals(output_dir, say)  # which a kill may have left out
        return output_dir
    settings = {
        "format_version": FORMAT_VERSION,
        "sources": sources,
        "tagger": tagger,
        "num_products": num_products,
        "skip_invalid": skip_invalid,
    }
    if num_workers is None:
        num_workers = (os.cpu_count() or 1) if size > LARGE_FILE else 1
    with clear_disk_errors(output_dir), _parts_folder(output_dir, settings) as folder:
        parts = list(_make_parts(folder, records, nouns, num_workers, _Progress(say, lambda: records.share_read)))
        if not parts:
            raise CatalogError(f"{files['products']} holds no usable product; expected asins of 1 to 10 characters")
        about = {"num_records": records.num_read, "tagger": tagger, "sources": sources}
        _merge(output_dir, parts, about, records.skipped, say)
    _draw_first_goals(output_dir, say)
    return output_dir


def derive_catalog(source: Path, output_dir: Path, num_products: int) -> None:
    """Builds the catalogue of the first ``num_products`` raw records of a built one; needs no tagger.

    Raises:
        CatalogError: the source was made from fewer records, or uses none of these.
    """
    manifest = read_sealed(source)
    if not 0 < num_products <= manifest["num_records"]:
        raise CatalogError(
            f"num_products={num_products}, but {source} was built from {manifest['num_records']} records; ask for 1 to "
            f"{manifest['num_records']}"
        )
    store = ProductStore(source / PRODUCTS_FILE)
    count = int((store.numbers("record") < num_products).sum())
    if not count:
        raise CatalogError(f"num_products={num_products}: none of the first {num_products} records of {source} is used")
    stored = iter([store.nouns(position) for position in range(count)])
    settings = {"format_version": FORMAT_VERSION, "source": manifest["manifest_sha256"], "num_products": num_products}
    with clear_disk_errors(output_dir), _parts_folder(output_dir, settings) as folder:
        shutil.rmtree(folder)  # the stored nouns are read in order, so nothing of an earlier try is of use
        folder.mkdir()
        products = (store.raw(position) for position in range(count))
        progress = _Progress(lambda text: None, lambda: 1.0)
        parts = list(
            _make_parts(folder, products, lambda titles: list(itertools.islice(stored, len(titles))), 1, progress)
        )
        about = {"num_records": num_products, "tagger": manifest["tagger"], "sources": manifest["sources"]}
        _merge(output_dir, parts, about, [], progress.say)


def _refuse_other_build(
    folder: Path, sources: dict[str, Any], tagger: dict[str, str], num_products: int | None
) -> None:
    """Raises CatalogError unless the folder holds what would be built."""
    manifest = read_sealed(folder)
    same = manifest.get("sources") == sources and manifest.get("tagger") == tagger
    if not same or num_products not in (None, manifest.get("num_records")):
        raise CatalogError(
            f"{folder} holds a catalogue of other raw files, tagger or num_products; choose another --output_dir or "
            "remove it"
        )


def _unpacked_size(path: Path) -> int:
    """Bytes of JSON in a raw file; of a packed one an estimate."""
    return int(path.stat().st_size * (UNPACKED_PER_GZIP_BYTE if path.suffix == ".gz" else 1))


def _check_disk(output_dir: Path, size: int, say: Say) -> None:
    """Says how much disk the build may need, and refuses to begin where there is less."""
    nearest = next(parent for parent in output_dir.absolute().parents if parent.exists())
    needed, free = int(size * DISK_PER_RAW_BYTE), shutil.disk_usage(nearest).free
    say(f"needs up to {needed / 1e6:,.0f} MB of disk in {nearest}, {free / 1e6:,.0f} MB are free")
    if free < needed:
        raise StorageError(
            f"building {output_dir} may need {needed / 1e9:.2f} GB of disk and {nearest} has {free / 1e9:.2f} GB free; "
            "free space or choose another --output_dir"
        )


@contextlib.contextmanager
def _parts_folder(output_dir: Path, settings: dict[str, Any]) -> Iterator[Path]:
    """The folder of finished parts; kept when the build is interrupted, removed when it is done or the input is bad."""
    folder = output_dir.with_name(f".{output_dir.name}{BUILDING_ENDING}")
    stored = folder / SETTINGS_FILE
    if folder.exists() and not _holds(stored, settings):
        shutil.rmtree(folder)  # of other raw files or settings, or damaged
    folder.mkdir(parents=True, exist_ok=True)
    write_json(stored, settings)
    try:
        yield folder
    except CatalogError:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _holds(stored: Path, settings: dict[str, Any]) -> bool:
    try:
        return read_json(stored) == settings
    except (OSError, ValueError, RecursionError):
        return False


def _make_parts(
    folder: Path, products: Iterable[RawProduct], nouns: Nouns, num_workers: int, progress: "_Progress"
) -> Iterator[Path]:
    """Makes the parts that are not there yet, and yields the file of each one's products in order."""
    iterator = iter(products)
    chunks = iter(lambda: list(itertools.islice(iterator, ROWS_PER_BATCH)), [])
    named = ((folder / f"part-{number:06d}.arrow", chunk) for number, chunk in enumerate(chunks))
    if num_workers == 1:
        for part, chunk in named:
            was_there = _is_whole(part)
            if not was_there:
                _make_part(part, chunk, nouns)
            progress.add(len(chunk), was_there=was_there)
            yield part
        return
    # Spawned, not forked: whoever calls may have threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        waiting: deque[tuple[Path, int, Future[None] | None]] = deque()
        try:
            for part, chunk in named:
                waiting.append(
                    (part, len(chunk), None if _is_whole(part) else pool.submit(_make_part, part, chunk, nouns))
                )
                while len(waiting) > 2 * num_workers:
                    yield _finished(*waiting.popleft(), progress)
            while waiting:
                yield _finished(*waiting.popleft(), progress)
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process of the build was killed, perhaps because memory ran out; the parts that were finished are "
                "kept: run the same command again, with fewer --num_workers if it is killed again"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """Sees to it that a worker ends when whoever started it was killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _finished(part: Path, count: int, work: "Future[None] | None", progress: "_Progress") -> Path:
    """Waits for a part."""
    if work is not None:
        work.result()
    progress.add(count, was_there=work is None)
    return part


def _make_part(part: Path, products: list[RawProduct], nouns: Nouns) -> None:
    """Tags, counts and stores some products; the hashes of the files, which are written last, say that all is there."""
    postings = Postings.count([search_text(product) for product in products])
    postings.save(_postings_file(part))
    batch = product_batch(products, nouns([product.title for product in products]))
    half = part.with_suffix(".half")
    with pa.OSFile(str(half), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(batch)
    os.replace(half, part)
    write_json(_hashes_file(part), _hashes(part))


def _is_whole(part: Path) -> bool:
    """Whether a part was made to its end, and is as it was made; another is made again."""
    try:
        return bool(read_json(_hashes_file(part)) == _hashes(part))
    except (OSError, ValueError, RecursionError):
        return False


def _hashes(part: Path) -> dict[str, str]:
    """The SHA-256 of the files of a part by name."""
    return {path.name: sha256_of(path) for path in (part, _postings_file(part))}


def _hashes_file(part: Path) -> Path:
    return part.with_suffix(".json")


def _postings_file(part: Path) -> Path:
    return part.with_suffix(".npz")


class _Progress:
    """Says how far the raw file is read, and how long the rest takes.

    Args:
        share: the share of the raw records that were read, 0 to 1.
    """

    def __init__(self, say: Say, share: Callable[[], float]) -> None:
        self.say, self.share = say, share
        self.count = self.count_before = 0
        self.started, self.share_before = time.monotonic(), 0.0

    def add(self, count: int, *, was_there: bool) -> None:
        """Counts the products of a part, which an earlier build may have made."""
        self.count += count
        share, now = self.share(), time.monotonic()
        if was_there:
            self.started, self.share_before, self.count_before = now, share, self.count
            self.say(f"  {self.count} products were there already")
        elif share > self.share_before:
            seconds = max(now - self.started, 1e-3)
            left = seconds / (share - self.share_before) * (1 - share)
            rate = (self.count - self.count_before) / seconds
            self.say(f"  {self.count} products, {share:.0%} of the raw file, {rate:.0f} products/s, {left:.0f} s left")


def _merge(
    output_dir: Path, parts: Sequence[Path], about: dict[str, Any], skipped: Sequence[dict[str, Any]], say: Say
) -> None:
    """Writes the built folder from its parts; it appears when it is whole."""
    say("merging the parts: products")
    fingerprint, asins = hashlib.sha256(), []
    encode = json.JSONEncoder(ensure_ascii=False).encode
    with replace_folder(output_dir) as temporary:
        with (
            pa.OSFile(str(temporary / PRODUCTS_FILE), "wb") as sink,
            pa.ipc.new_file(sink, SCHEMA) as writer,
        ):
            for part in parts:
                with pa.memory_map(str(part)) as source:
                    batch = pa.ipc.open_file(source).get_batch(0)
                    asins += batch.column("asin").to_pylist()
                    for row, words in zip(
                        batch.column("row").to_pylist(), batch.column("nouns").to_pylist(), strict=True
                    ):
                        fingerprint.update(encode([row, words]).encode())
                    writer.write_batch(batch)
        say("merging the parts: search index")
        (temporary / INDEX_FOLDER).mkdir()
        write_index(temporary / INDEX_FOLDER, [_postings_file(part) for part in parts], asins)
        if skipped:
            write_json(temporary / SKIPPED_FILE, list(skipped))
        say("hashing what was written")
        seal(
            temporary,
            {
                "catalog_sha256": fingerprint.hexdigest(),
                "num_products": len(asins),
                "num_skipped": len(skipped),
                **about,
            },
        )


def _draw_first_goals(folder: Path, say: Say) -> None:
    """Draws the synthetic goals of seed 0, where the catalogue has any, so that its first user need not wait."""
    manifest, store = read_sealed(folder), ProductStore(folder / PRODUCTS_FILE)
    if store.numbers("has_instruction").any() and store.numbers("has_attribute_record").all():
        open_goals(folder, manifest, store, seed=0, human=False, progress=lambda text: say(f"  {text}"))
