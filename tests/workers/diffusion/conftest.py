"""One tiny pipeline of each kind for all tests here."""

from pathlib import Path

import pytest
from support.uploads.pipelines import make_pipeline


@pytest.fixture(scope="session")
def latent_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("latent"))


@pytest.fixture(scope="session")
def velocity_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("velocity"), prediction="v_prediction")


@pytest.fixture(scope="session")
def pixel_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("pixel"), pixels=True)
