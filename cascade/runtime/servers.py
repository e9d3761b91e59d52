"""Who serves the requests of a predictor: with a result cache or without."""

from __future__ import annotations

from typing import Any

from cascade.caching.result_cache import ResultCache
from cascade.errors import ConfigurationError
from cascade.runtime.caching_server import CachingServer
from cascade.runtime.engine import Engine
from cascade.runtime.ready import ReadyPolicy
from cascade.runtime.serving import Server


def checked_cache(cache: Any) -> ResultCache | None:
    """The cache; raises `ConfigurationError` unless it is a `ResultCache` or None."""
    if cache is not None and not isinstance(cache, ResultCache):
        raise ConfigurationError(
            f"expected cache=ResultCache(...) or None, got {cache!r}: make one, such as ResultCache(max_bytes=64 << 20)"
        )
    return cache


def server_for(ready: ReadyPolicy, engine: Engine, cache: ResultCache | None, version: str, **keywords: Any) -> Server:
    """The server of a predictor.

    Parameters
    ----------
    ready : ReadyPolicy
    engine : Engine
    cache : ResultCache or None
    version : str
        Of everything that happens to an input before the first stage.
    **keywords
        As for `Server`.
    """
    if cache is None:
        return Server(ready, engine, **keywords)
    return CachingServer(ready, engine, cache=cache, version=version, **keywords)
