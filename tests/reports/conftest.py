"""The shop of the tests of this folder, built once."""

import pytest

from reports_shop import Shop, make_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop whose texts try everything."""
    return make_shop(tmp_path_factory.mktemp("hostile"))
