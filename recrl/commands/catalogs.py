"""`recrl catalog`: built, made up, downloaded, imported, told about."""

import json
from dataclasses import dataclass, field

from recrl.rollouts.config import CATALOG_HELP, CatalogSettings
from recrl.settings import to_seed
from recrl.tables import FORMATS, print_tables
from recrl.terminal import ProgressLine, show
from recrl.webshop.own_catalog_config import CatalogImportConfig


@dataclass(frozen=True, kw_only=True)
class CatalogBuildConfig:
    """What is built."""

    raw_folder: str = field(
        metadata={
            "help": "Folder with items_shuffle[_1000].json and items_ins_v2[_1000].json, plain or gzipped.",
            "positional": True,
        }
    )
    output_dir: str = field(metadata={"help": "Folder of the built catalogue."})
    num_products: int | None = field(
        default=None, metadata={"help": "Take the first N raw products only; without it all."}
    )
    skip_invalid: bool = field(
        default=False, metadata={"help": "Leave invalid records out and list them, instead of stopping at the first."}
    )
    num_workers: int | None = field(
        default=None, metadata={"help": "Processes; without it one for each core, and a single one for a small file."}
    )


def catalog_build(config: CatalogBuildConfig) -> None:
    from recrl.webshop.building import SKIPPED_FILE, build_catalog
    from recrl.webshop.catalog import num_at_default_price
    from recrl.webshop.products import PRODUCTS_FILE, ProductStore
    from recrl.webshop.rawfiles import DEFAULT_PRICE
    from recrl.webshop.sealed import read_sealed

    line = ProgressLine()
    folder = build_catalog(
        config.raw_folder,
        config.output_dir,
        num_products=config.num_products,
        skip_invalid=config.skip_invalid,
        num_workers=config.num_workers,
        say=line.say,
    )
    line.end()
    manifest = read_sealed(folder)
    show(f"built {folder}: {manifest['num_products']} products of {manifest['num_records']} records")
    defaulted = num_at_default_price(ProductStore(folder / PRODUCTS_FILE))
    if defaulted:
        print(f"{defaulted} products cost {DEFAULT_PRICE} dollars, the price of those that state none")
    if manifest["num_skipped"]:
        show(f"left out {manifest['num_skipped']} invalid records; the reasons are in {folder / SKIPPED_FILE}")


@dataclass(frozen=True, kw_only=True)
class CatalogSynthConfig:
    """What is made up."""

    output_dir: str = field(metadata={"help": "Folder that the raw files are written to."})
    num_products: int = field(default=1000, metadata={"help": "Number of products."})
    seed: int = field(default=0, metadata={"help": "Seed of all texts, prices and options.", "type": to_seed})


def catalog_synth(config: CatalogSynthConfig) -> None:
    from recrl.webshop.synthetic import write_raw

    write_raw(config.output_dir, config.num_products, config.seed)
    show(f"wrote {config.num_products} products in the raw format to {config.output_dir}")


@dataclass(frozen=True, kw_only=True)
class CatalogDownloadConfig:
    """What is fetched."""

    which: str = field(
        metadata={
            "help": "The files of 1,000 products (10 MB) or of all 1.18 million (5.7 GB).",
            "choices": ("1000", "full"),
            "positional": True,
        }
    )
    output_dir: str = field(
        metadata={"help": "Folder that the raw files are written to; repeat the command to go on in it."}
    )
    hub_dataset_id: str | None = field(
        default=None, metadata={"help": "Dataset on the Hub that holds the files; without it a public copy."}
    )


def catalog_download(config: CatalogDownloadConfig) -> None:
    from recrl.webshop.download import HUB_DATASET_ID, download_catalog

    folder = download_catalog(
        config.which,
        config.output_dir,
        hub_dataset_id=config.hub_dataset_id or HUB_DATASET_ID,
        say=ProgressLine().say,
    )
    show(f"the files are in {folder}; use them with --catalog {folder}, or build them with `recrl catalog build`")


def catalog_import(config: CatalogImportConfig) -> None:
    from recrl.webshop import own_catalog

    report = own_catalog.import_catalog(config)
    print(
        f"{report['num_products']} of {report['num_rows']} products, {report['num_goal_products']} of them with goals, "
        f"are in {config.output_dir}"
    )
    for note in report["notes"]:
        print(f"  {note}")
    print(f"use them with --catalog {config.output_dir}")


@dataclass(frozen=True, kw_only=True)
class CatalogInfoConfig(CatalogSettings):
    """What is described."""

    catalog: str | None = field(default=None, metadata=CATALOG_HELP | {"positional": True})
    format: str = field(
        default="json", metadata={"help": "Format of what is printed: one JSON object, or a table.", "choices": FORMATS}
    )


def catalog_info(config: CatalogInfoConfig) -> None:
    from recrl.webshop.catalog import catalog_info, info_table

    info = catalog_info(config.load_catalog())
    if config.format == "json":
        show(json.dumps(info, indent=2, ensure_ascii=False))
    else:
        print_tables([info_table(info)], config.format)
