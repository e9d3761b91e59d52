"""The public `ResultCache`: what stages said about equal inputs, kept and shared; it wires keys, store and flights together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from secrets import token_bytes
from typing import Any

from cascade.caching.epochs import Epochs
from cascade.caching.flight import Flights
from cascade.caching.folder import Folder
from cascade.caching.keys import SEED_BYTES, Key, KeyMaker, Scope, scope_of, tenant_of
from cascade.caching.prepared import PreparedInputs
from cascade.caching.sharing import Sharing
from cascade.caching.similarity import SimilarityCache
from cascade.caching.stats import CacheStats
from cascade.caching.store import Store
from cascade.clock import Clock, MonotonicClock
from cascade.errors import CacheKeyError

_MAX_SCOPES = 1024


class ResultCache(Sharing):
    """What the stages said about inputs, so that equal inputs are answered from it.

    Parameters
    ----------
    max_bytes : int
        The entries, with all that keeping them takes, never take more.
    ttl_ms : float, optional
        Age from which on an entry is not served; by default there is none.
    namespace : str
        Nothing of one namespace is served to another, such as a tenant.
    key : callable, optional
        Input in, a str, bytes, number or tuple of these out: inputs of equal keys are the same to the cache. By default all
        bytes of an input count.
    compare_up_to : int
        Inputs of at most this many bytes are kept and compared. Larger ones are told apart by a keyed blake2b of 256 bits, where
        two of n inputs coincide with a probability of at most n**2 / 2**257.
    on_device : {"copy", "refuse"}
        Whether tensors on another device are copied to the CPU to be hashed, or answered without the cache.
    admission : {"recency", "frequency"}
        Whether a new entry always gets room, or only if its input was asked for more often of late than those that would have to go:
        better where the same inputs stay popular, far worse where each is asked for a few times in a row and then no more.
    prepared_bytes : int
        What the results of ``preprocess=`` may take, beside ``max_bytes``.
    folder : str or Path, optional
        Where `save` keeps what is known for the next process, which must see the same ``key=``. Needs the extra ``disk``.
    similar : SimilarityCache, optional
        Finds near duplicates, for `near`.
    clock : Clock, optional

    Raises
    ------
    ConfigurationError
        If a bound or the time to live is negative, or another argument cannot work.

    Attributes
    ----------
    prepared : PreparedInputs or None
        What ``preprocess=`` made of inputs; None without ``prepared_bytes``.

    Notes
    -----
    Safe to use from many threads, from signal handlers and from within stages. May be shared by several predictors.

    Examples
    --------
    >>> import numpy as np
    >>> cache = ResultCache(max_bytes=1 << 20)
    >>> key = cache.key("a question")
    >>> cache.remember(key, {"small": np.array([0.9, 0.1])})
    True
    >>> cache.look(cache.key("a question"))["small"].tolist()
    [0.9, 0.1]
    >>> cache.look(cache.key("another one"))
    mappingproxy({})
    >>> cache.stats().hits, cache.stats().misses
    (1, 1)
    """

    def __init__(
        self,
        max_bytes: int = 64 << 20,
        ttl_ms: float | None = None,
        namespace: str = "",
        key: Callable[[Any], Any] | None = None,
        *,
        compare_up_to: int = 1 << 20,
        on_device: str = "copy",
        admission: str = "recency",
        prepared_bytes: int = 0,
        folder: str | Path | None = None,
        similar: SimilarityCache | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or MonotonicClock()
        self._store = Store(max_bytes, ttl_ms, self._clock.now_ms, admission)
        self._folder = None if folder is None else Folder(folder, max_bytes)
        seed = token_bytes(SEED_BYTES) if self._folder is None else self._folder.seed
        self._namespace, self._keys = namespace, KeyMaker(seed, compare_up_to, on_device, key)
        self._similar = similar
        self.prepared = (
            PreparedInputs(self._keys, prepared_bytes, ttl_ms, self._clock.now_ms) if prepared_bytes else None
        )
        self.flights = Flights(self._keys.is_unchanged)
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._scope = self.scope()
        self._epochs = Epochs()
        if self._folder is not None:
            for token, entry in self._folder.load(self._clock.now_ms(), self._store.ttl_ms):
                self._store.swap(token, entry, None, 0)

    def scope(self, namespace: str | None = None, version: str = "") -> Scope:
        """Whom keys belong to.

        Parameters
        ----------
        namespace : str, optional
            By default the cache's own.
        version : str
            Of all that happens to an input before the first stage: a fingerprint of ``preprocess``, say.
        """
        name = (self._namespace if namespace is None else namespace, version)
        scope = self._scopes.get(name) if isinstance(namespace, str | None) else scope_of(*name)
        if scope is None:
            if len(self._scopes) >= _MAX_SCOPES:
                self._scopes.clear()
            scope = self._scopes.setdefault(name, scope_of(*name))
        return scope

    def key(self, x: Any, scope: Scope | None = None) -> Key:
        """The key of an input.

        Raises
        ------
        CacheKeyError
            If it has none: its request is to be answered without the cache. That is counted.
        """
        of = self._scope if scope is None else scope
        try:
            return self._keys.key(x, of, self._epochs.since(of.tenant))
        except CacheKeyError:
            with self._store.lock:
                self._store.counts.unkeyed += 1
            raise

    def keys(self, items: Iterable[Any], scope: Scope) -> list[Key | None]:
        """As `key`, of the rows of one batch; None, which is counted, where there is none."""
        keys = self._keys.keys(items, scope, self._epochs.since(scope.tenant))
        if n_missing := keys.count(None):
            with self._store.lock:
                self._store.counts.unkeyed += n_missing
        return keys

    def clear(self) -> None:
        """Forget everything; what requests in progress find out is not kept for later ones."""
        self._epochs.void_all()
        self._store.clear()
        if self.prepared is not None:
            self.prepared.store.clear()
        if self._similar is not None:
            self._similar.forget(b"")
        if self._folder is not None:
            self._folder.void(b"")

    def invalidate(self, namespace: str | None = None) -> None:
        """Forget one namespace; what its requests in progress find out is not served to requests made from now on.

        Parameters
        ----------
        namespace : str, optional
            By default the cache's own.
        """
        tenant = self.scope(namespace).tenant
        before = self._epochs.void(tenant)
        self._store.drop(tenant, before)
        if self.prepared is not None:
            self.prepared.store.drop(tenant, before)
        if self._similar is not None:
            self._similar.forget(tenant)
        if self._folder is not None:
            self._folder.void(tenant)

    def save(self) -> int:
        """Write what is known to the folder, for the next process.

        Returns
        -------
        int
            Entries written; 0 without a folder. Tensors are not written.
        """
        if self._folder is None:
            return 0
        valid_from = self._epochs.valid_from
        return self._folder.save(self._store.items(), lambda token: valid_from(tenant_of(token)), self._clock.now_ms())

    def stats(self) -> CacheStats:
        """What the cache has done, all of one instant."""
        counts, entries, n_bytes = self._store.purge()
        return CacheStats(**asdict(counts), entries=entries, bytes=n_bytes, max_bytes=self._store.max_bytes)

    def renew(self) -> None:
        """Be usable in a process that was just forked."""
        self._epochs.renew()
        self.flights.renew()
        self._store.renew()
        if self.prepared is not None:
            self.prepared.store.renew()
        if self._similar is not None:
            self._similar.renew()
