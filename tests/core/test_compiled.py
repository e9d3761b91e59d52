import numba

from cascade.core.compiled import compiled


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    real = numba.njit

    def without_cache(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", without_cache)
    assert compiled(lambda x: x + 1)(1) == 2
