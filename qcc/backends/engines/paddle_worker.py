"""The process in which Paddle runs models: a child of it, a fork, for each model.

Paddle is imported once. A child costs no import, and gives all memory back when it ends. Whatever kills a
child, a signal or an abort of C++ code, leaves this process and its other children.

It is started by `qcc.backends.engines.paddle`, or is a copy of the program `qcc` (`qcc.forked`). On the first
connection it takes orders: "start", followed by
the descriptors of a connection and of a file for what is printed, is answered with a child's number; "end",
with how that child ended. The requests on a child's connection are the public methods of `_Child`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from qcc._paddle import core, paddle, run_program
from qcc.backends.engines.engine import Engine
from qcc.backends.engines.process import LAST_SECONDS
from qcc.backends.engines.timing import timed
from qcc.backends.engines.wire import Arrays, Closed, receive, send
from qcc.failures import PADDLE_FAILURES, reason
from qcc.forked import exit_code
from qcc.ir.dtypes import numpy_dtype
from qcc.targets.paddle_x86 import passes_to_delete

# A line of oneDNN's: `...exec,cpu,convolution,jit_int8:avx2,forward_inference,src_u8::blocked:acdb...`; newer
# ones have `src:u8`.
_INT8_CALL = re.compile(r"exec,cpu,(convolution|deconvolution|inner_product|matmul),.*src[_:][us]8")

Answer = tuple[dict[str, Any], Arrays]


def main() -> None:
    """Serve the connection that the first argument names."""
    # Ctrl-C reaches all processes of a terminal; the one that started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])))


def serve(control: socket.socket) -> None:
    """Take orders until the other side goes."""
    paddle.disable_signal_handler()
    paddle.enable_static()
    children: set[int] = set()
    try:
        while True:
            order, _ = receive(control)
            if order["do"] == "start":
                children.add(child := _start(control))
                send(control, {"child": child}, {})
            else:
                children.remove(order["child"])
                send(control, {"code": _end(order["child"], order["dying"])}, {})
    except Closed:
        for child in children:  # one at work would not see that its connection has ended, too
            os.kill(child, signal.SIGKILL)


def _start(control: socket.socket) -> int:
    _, (connection, words), _, _ = socket.recv_fds(control, 1, 2)
    child = os.fork()
    if not child:
        control.close()
        os.dup2(words, 1)
        os.dup2(words, 2)
        _Child(socket.socket(fileno=connection)).serve()
        # Nothing that Paddle would do at exit matters any more, and some of it crashes.
        os._exit(0)
    os.close(connection)
    os.close(words)
    return child


def _end(child: int, dying: bool) -> int:
    """End a child; its exit code. One that is `dying` has closed its connection by itself, and how it ends
    tells why."""
    code = exit_code(child, LAST_SECONDS) if dying else None
    if code is None:
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code


class _Child:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._model: Inference | _Program

    def serve(self) -> None:
        """Answer requests until the other side goes."""
        try:
            while True:
                header, arrays = receive(self._connection)
                try:
                    answer = getattr(self, header.pop("do"))(header, arrays)
                except PADDLE_FAILURES as error:
                    answer = {"failed": reason(error)}, {}
                send(self._connection, *answer)
        except Closed:
            pass

    def open(self, header: dict[str, Any], _: Arrays) -> Answer:
        """Load a model's files for an engine, or, where there is none, for Paddle's executor.

        `traced`: so that `int8_kernels` can tell what runs, which takes time.
        """
        if header.get("traced"):
            os.environ["DNNL_VERBOSE"] = "1"  # oneDNN looks when it runs its first kernel
        program, params, engine = Path(header["program"]), header["params"], header["engine"]
        params = params and Path(params)
        self._model = _Program(program, params) if engine is None else Inference(program, params, engine)
        feeds, fetches = self._model.feeds, self._model.fetches
        return {"feeds": feeds, "dtypes": _dtypes(program, feeds), "fetches": fetches}, {}

    def run(self, header: dict[str, Any], inputs: Arrays) -> Answer:
        """The arrays of `fetches`, by their positions, since a model may fetch a variable twice."""
        found = self._model.run(inputs, header["fetches"], header["coarse"])
        return {}, {str(number): array for number, array in enumerate(found)}

    def time(self, header: dict[str, Any], inputs: Arrays) -> Answer:
        """Times of each of `runs` runs, without feeding and fetching, after `warm_up` others."""
        assert isinstance(self._model, Inference)
        return self._model.time(inputs, header["warm_up"], header["runs"]), {}

    def int8_kernels(self, _: dict[str, Any], inputs: Arrays) -> Answer:
        """How many calls of each primitive of oneDNN read 8-bit integers in one run of a traced model."""
        assert isinstance(self._model, Inference)
        before = os.fstat(1).st_size
        self._model.run(inputs, None, [])
        printed = os.pread(1, os.fstat(1).st_size - before, before).decode(errors="replace")
        return {"kernels": Counter(_INT8_CALL.findall(printed))}, {}

    def digests(self, _: dict[str, Any], __: Arrays) -> Answer:
        """A checksum of each weight, as Paddle has read it."""
        assert isinstance(self._model, _Program)
        return {"digests": self._model.digests()}, {}


class Inference:
    """A model in `paddle.inference`."""

    def __init__(self, program: Path, params: Path | None, fields: dict[str, Any]) -> None:
        engine = Engine(**{**fields, "int8_ops": tuple(fields["int8_ops"])})
        config = paddle.inference.Config(str(program), str(params or ""))
        config.disable_gpu()
        config.disable_glog_info()
        config.switch_ir_optim(engine.optimize)
        config.set_cpu_math_library_num_threads(engine.threads)
        if engine.onednn or engine.int8:
            config.enable_mkldnn()
        else:
            config.disable_mkldnn()  # it is on by itself
        if engine.int8 and engine.int8_ops:
            config.enable_mkldnn_int8(set(engine.int8_ops))
        elif engine.int8:
            config.enable_mkldnn_int8()
        # Last: switching oneDNN on brings passes with it.
        for name in passes_to_delete():
            config.delete_pass(name)
        self._predictor = paddle.inference.create_predictor(config)
        self.feeds: list[str] = self._predictor.get_input_names()
        self.fetches: list[str] = self._predictor.get_output_names()

    def run(self, inputs: Arrays, _: list[str] | None, __: list[str]) -> list[np.ndarray]:
        self._feed(inputs)
        self._predictor.run()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in self.fetches]

    def time(self, inputs: Arrays, warm_up: int, runs: int) -> dict[str, list[float]]:
        self._feed(inputs)
        return timed(self._predictor.run, warm_up, runs)

    def _feed(self, inputs: Arrays) -> None:
        for name in self.feeds:
            self._predictor.get_input_handle(name).copy_from_cpu(inputs[name])


class _Program:
    """A model in Paddle's executor: op for op as it stands, any variable may be fetched."""

    def __init__(self, program: Path, params: Path | None) -> None:
        static = paddle.static
        self._executor, self._scope = static.Executor(paddle.CPUPlace()), static.Scope()
        self._program = static.Program.parse_from_string(program.read_bytes())
        self.feeds, self.fetches = _cut_interface(self._program)
        if params is not None:
            persistables = [var for var in self._program.list_vars() if var.persistable]
            with static.scope_guard(self._scope):
                static.load_vars(
                    self._executor, str(params.parent), self._program, vars=persistables, filename=params.name
                )

    def run(self, inputs: Arrays, fetches: list[str] | None, coarse: list[str]) -> list[np.ndarray]:
        """`coarse`: weights that hold integers, in this run without their last bit."""
        tensors = {name: self._scope.find_var(name).get_tensor() for name in coarse}
        kept = {name: np.array(tensor) for name, tensor in tensors.items()}
        for name, integers in kept.items():
            even = np.clip(np.round(integers / 2) * 2, -126, 126)
            tensors[name].set(even.astype(integers.dtype), paddle.CPUPlace())
        found = run_program(self._executor, self._program, inputs, fetches or self.fetches, self._scope)
        for name, integers in kept.items():
            tensors[name].set(integers, paddle.CPUPlace())
        return found

    def digests(self) -> dict[str, int]:
        return {
            var.name: zlib.crc32(np.ascontiguousarray(self._scope.find_var(var.name).get_tensor()).data)
            for var in self._program.list_vars()
            if var.persistable
        }


def _dtypes(program: Path, feeds: list[str]) -> dict[str, str]:
    """What the feeds take, as the file declares them: `paddle.inference` neither tells nor looks."""
    desc = core.ProgramDesc(program.read_bytes())  # its blocks are gone when it goes
    return {name: str(numpy_dtype(desc.block(0).find_var(name.encode()).dtype())) for name in feeds}


def _cut_interface(program: Any) -> tuple[list[str], list[str]]:
    """Take the feed and fetch ops out of a program; the names of what they feed and fetch."""
    block = program.global_block()
    names: dict[str, dict[int, str]] = {"feed": {}, "fetch": {}}
    for position in reversed(range(len(block.ops))):
        op = block.ops[position]
        if op.type in names:
            name = op.output("Out")[0] if op.type == "feed" else op.input("X")[0]
            names[op.type][op.attr("col")] = name
            block._remove_op(position)
    for holder in ("feed", "fetch"):
        if block.has_var(holder):
            block._remove_var(holder)
    feeds, fetches = ([found[column] for column in sorted(found)] for found in names.values())
    return feeds, fetches
