"""Writes into docs/training.md what each recipe does with every field of its trainer's configuration.

python docs/fields.py
"""

from pathlib import Path

from recrl.training.fields import fields_table

PAGE = Path(__file__).parent / "training.md"
BEGIN, END = "<!-- fields: written by docs/fields.py -->", "<!-- end of fields -->"


def page_with_fields(text: str) -> str:
    """The page with the section between its marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *fields_table(), END + after])


if __name__ == "__main__":
    PAGE.write_text(page_with_fields(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
