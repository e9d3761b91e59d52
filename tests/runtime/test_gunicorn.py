"""Processes that gunicorn forks serve with lanes of their own, and end: bounded, on loopback."""

import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server

import pytest
from sklearn.datasets import load_digits

pytest.importorskip("gunicorn", reason="gunicorn does not run on this system")
pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
PLACES = f"{HERE.parents[1]},{HERE}"
# The models were trained on these.
ROWS = range(10, 18)
# The second worker may start seconds after the first one, which answers a round in milliseconds.
N_WORKERS, MOST_ROUNDS, PATIENCE_S = 2, 3000, 60.0

Reply = namedtuple("Reply", "worker made_in label lanes")


@pytest.fixture
def serve(tmp_path):
    """Start gunicorn with these arguments on a port that is open already: whoever asks early waits for a worker."""
    started = []

    def serve(*arguments):
        with create_server(("127.0.0.1", 0)) as door, (tmp_path / "log").open("w") as log:
            options = {"bind": f"fd://{door.fileno()}", "workers": N_WORKERS, "threads": 4, "pythonpath": PLACES}
            command = [sys.executable, "-m", "gunicorn", "--no-control-socket", *arguments]
            command += [f"--{name}={value}" for name, value in options.items()]
            command += [f"app_for_gunicorn:create({N_WORKERS})"]
            server = subprocess.Popen(command, pass_fds=[door.fileno()], stderr=log, cwd=tmp_path)
            started.append(server)
            return server, door.getsockname()[1]

    yield serve
    for server in started:
        if server.poll() is None:
            server.kill()
            server.wait()


def asked(port, row):
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/?{row}")
        worker, made_in, label, lanes = connection.getresponse().read().decode().split()
    finally:
        connection.close()
    return Reply(worker, made_in, int(label), lanes)


@pytest.mark.parametrize("arguments", [(), ("--preload",)], ids=["made in every worker", "made before the fork"])
def test_every_worker_answers_from_a_lane_of_its_own_and_ends_when_told(serve, tmp_path, arguments):
    server, port = serve(*arguments)
    replies = []
    with ThreadPoolExecutor(len(ROWS)) as clients:
        for _ in range(MOST_ROUNDS):
            replies += clients.map(lambda row: asked(port, row), ROWS)
            if len({reply.worker for reply in replies}) == N_WORKERS:
                break
    server.terminate()
    code, log = server.wait(timeout=PATIENCE_S), (tmp_path / "log").read_text()

    truth = load_digits().target[ROWS].tolist()
    assert [reply.label for reply in replies] == truth * (len(replies) // len(ROWS))
    assert len({reply.worker for reply in replies}) == N_WORKERS
    assert {reply.lanes for reply in replies} == {"cascade-lane-0"}
    was_inherited = {reply.made_in != reply.worker for reply in replies}
    assert was_inherited == {"--preload" in arguments}
    assert code == 0, log
    assert "Traceback" not in log
    assert "TIMEOUT" not in log
