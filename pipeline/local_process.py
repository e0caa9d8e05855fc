"""One process of a local run that has several: carries out orders, until its end of the socket closes.

Orders and answers are pickled: both ends are ours.
"""

from __future__ import annotations

import sys
import traceback
from functools import partial
from multiprocessing.connection import Connection

from pipeline.chain import Chain
from pipeline.errors import LodepackError
from pipeline.heap import keep_heap
from pipeline.local_worker import Kind, Order, Worker, WriteFiles
from pipeline.monitor import Telling
from pipeline.without_pandas import keep_pandas_out


def main() -> None:
    """Serves one run."""
    keep_heap()
    keep_pandas_out()
    connection = Connection(int(sys.argv[1]))

    def say(kind: Kind, *content: object) -> None:
        connection.send((kind, content))

    def begin(_: str, operator: str, place: str) -> None:
        say("begin", operator, place)

    def end(_: str, num_rows: int, seconds: float) -> None:
        say("end", num_rows, seconds)

    try:
        chain: Chain = connection.recv()
        worker: Worker | None = None
        while True:
            order: Order = connection.recv()
            try:
                worker = worker or Worker(chain, Telling("", begin, end), partial(say, "beat"), partial(say, "rows"))
                if isinstance(order, WriteFiles):
                    say("reports", worker.write(order.tasks))
                else:
                    for table in worker.read(order.unit, order.shard):
                        say("measured", table)
                say("done")
            except LodepackError as error:
                say("error", error)
            except ConnectionError:
                raise
            except Exception:  # noqa: BLE001 - told to whoever asked, with its place
                say("mistake", traceback.format_exc())
    except (EOFError, ConnectionError):  # the run is over, or was killed
        return


if __name__ == "__main__":
    main()
