"""The tables of an invented summary with a random control."""

import pytest

from table_fixtures import make_tables
from tables.files import Table


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return make_tables(tmp_path_factory.mktemp("runs"), control=True)
