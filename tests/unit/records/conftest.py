import tarfile
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures/stores"


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores that earlier versions wrote: schema_N/NAME, and beside it NAME.cells.csv of its report."""
    folder = tmp_path_factory.mktemp("written")
    for archive in sorted(FIXTURES.glob("schema_*.tar.gz")):
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return folder
