"""The server that repeats credentials, and a folder for all that a run writes."""

import pytest

from tests.integration.leaks.leaky_server import LeakyServer


@pytest.fixture(scope="module")
def leaky():
    server = LeakyServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path):
    """HOME, the working directory, TMPDIR, results, reports and MLflow's files: all that a run may write to."""
    return tmp_path
