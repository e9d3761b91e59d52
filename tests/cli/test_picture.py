import struct

import pytest

from cascade.cli.picture import draw_curve
from cascade.cli.race import Measured


def measured(contestant, mean_ms, accuracy, budget_ms=None):
    return Measured(
        contestant=contestant,
        budget_ms=budget_ms,
        n=600,
        accuracy=accuracy,
        ci_low=accuracy - 0.02,
        ci_high=accuracy + 0.01,
        mean_ms=mean_ms,
        p50_ms=mean_ms,
        p99_ms=2 * mean_ms,
        in_time=1.0,
        path_shares={contestant: 1.0},
    )


@pytest.mark.slow
def test_the_curve_is_a_png_of_a_readable_size(tmp_path):
    cascade = [measured("cascade", 0.1, 0.9, 0.2), measured("cascade", 0.5, 0.97, 2.0), measured("cascade", 0.5, 0.97)]
    draw_curve(cascade, [measured("small", 0.1, 0.88), measured("big", 2.0, 0.96)], tmp_path / "curve.png")
    head = (tmp_path / "curve.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:24])
    assert width >= 1000
    assert height >= 600
