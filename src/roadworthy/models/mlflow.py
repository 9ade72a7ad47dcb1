"""Models from a registry of MLflow, for `train` to return (extra `mlflow`).

Only the registry's client of MLflow is used. Its loaders are not: what is downloaded is opened by our own, with our own
list of trusted types. The `skops_trusted_types` that a model carries are its own word, and are never read.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from roadworthy.errors import InputError, Refused, SourceLost
from roadworthy.models import archive
from roadworthy.models.lightgbm import LightGBMLoader
from roadworthy.models.sklearn import SklearnLoader, SklearnModel

LARGEST = 1 << 30  # bytes of an archive, unpacked
DESCRIPTION = "MLmodel"
AS_SKOPS = "log it again: mlflow.sklearn.log_model(model, serialization_format='skops')"
AS_BOOSTER = "log its booster: mlflow.lightgbm.log_model(model.booster_)"


def registered(name: str, tracking: str) -> Any:
    """The fitted model of a registry, such as `models:/fraud/3` or `models:/fraud@champion`.

    `tracking` is the address of MLflow: `sqlite:///FILE` or a server's URL. Raises InputError for another name,
    SourceLost when MLflow does not answer or has no such model, and Refused for a model that could only be opened by
    running what it says.
    """
    if not re.fullmatch(r"models:/[^/@]+(/\d+|@[^/@]+)", name):
        raise InputError(f"expected a model such as models:/fraud/3 or models:/fraud@champion, got '{name}'")
    with tempfile.TemporaryDirectory(prefix="roadworthy-model-") as folder:
        return opened(_download(name, tracking, Path(folder)))


def opened(folder: Path) -> Any:
    """The fitted model of a folder that MLflow wrote: a scikit-learn estimator kept by skops, or a LightGBM booster."""
    flavors = _flavors(folder)
    if "lightgbm" in flavors:
        return _booster(folder, flavors["lightgbm"])
    if "sklearn" in flavors:
        return _estimator(folder, flavors["sklearn"])
    known = ", ".join(sorted(flavors)) or "none"
    raise Refused(f"expected a model of the flavor sklearn or lightgbm, got {known}")


def _download(name: str, tracking: str, folder: Path) -> Path:
    try:
        from mlflow import MlflowClient, artifacts, exceptions  # noqa: PLC0415  an extra, and it takes a second
    except ImportError:
        raise InputError("MLflow is not installed here", hint="pip install 'roadworthy[mlflow]'") from None
    try:
        client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
        # Asked of this registry by name: `download_artifacts` would look `models:/` up in the one of the environment.
        model, _, version = name.removeprefix("models:/").replace("@", "/@").partition("/")
        if version.startswith("@"):
            version = client.get_model_version_by_alias(model, version[1:]).version
        where = client.get_model_version_download_uri(model, version)
        found = artifacts.download_artifacts(artifact_uri=where, dst_path=str(folder), tracking_uri=tracking)
    except (exceptions.MlflowException, OSError) as error:
        raise SourceLost(f"{name} of MLflow at {tracking}: {str(error).splitlines()[0]}") from None
    return Path(found)


def _flavors(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        found = YAML(typ="safe", pure=True).load((folder / DESCRIPTION).read_text(encoding="utf-8"))["flavors"]
        return {str(name): dict(each) for name, each in found.items()}
    except (OSError, YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"expected a model that MLflow wrote, with a file {DESCRIPTION}: {error}") from None


def _bytes(folder: Path, flavor: Mapping[str, Any], key: str) -> bytes:
    """The bytes of the file that a flavor names, which must lie in the folder."""
    path = (folder / str(flavor.get(key, ""))).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise Refused(f"expected a file of the model, got '{flavor.get(key)}'")
    return path.read_bytes()


def _booster(folder: Path, flavor: Mapping[str, Any]) -> Any:
    data = _bytes(folder, flavor, "data")
    if not data.startswith(b"tree\n"):
        raise Refused("the LightGBM model is kept as an object of Python, and opening it would run whatever it says",
                      hint=AS_BOOSTER)  # fmt: skip
    import lightgbm  # noqa: PLC0415  heavy, and only training needs it

    try:
        booster = lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise Refused(f"the LightGBM model cannot be read: {error}") from None
    LightGBMLoader().save(booster)
    return booster


def _estimator(folder: Path, flavor: Mapping[str, Any]) -> Any:
    data = _bytes(folder, flavor, "pickled_model")
    if flavor.get("serialization_format") != "skops" or not data.startswith(b"PK\x03\x04"):
        kept = flavor.get("serialization_format", "pickle")
        raise Refused(f"the model is kept by {kept}, and opening it would run whatever it says", hint=AS_SKOPS)
    model = SklearnLoader().load(_as_we_write(data))
    assert isinstance(model, SklearnModel)
    return model.estimator


def _unpacked(data: bytes, depth: int = 0) -> int:
    """The bytes that an archive holds, with those of archives in it, as sparse matrices are. Nothing large is read."""
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        size = sum(member.file_size for member in found.infolist())
        if size > LARGEST or depth > 1:
            return LARGEST + 1
        inner = [found.read(member) for member in found.infolist()]
    return size + sum(_unpacked(each, depth + 1) for each in inner if each.startswith(b"PK\x03\x04"))


def _as_we_write(data: bytes) -> bytes:
    """An archive in our canonical form, which our loader then checks like any other. Raises Refused."""
    try:
        if _unpacked(data) > LARGEST:
            raise Refused(f"expected an archive of at most {LARGEST >> 20} MiB when it is unpacked, got more")
        return archive.canonical(data)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError, json.JSONDecodeError) as error:
        raise Refused(f"expected a whole skops archive, got a damaged one: {error}") from None
