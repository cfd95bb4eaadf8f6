"""What Paddle Lite's kernels for ARM get wrong, and what is proven right: `lite_arm.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from qcc.targets.table import Fault, Words

Verdict = Literal["refused", "warned"]


class ArmFault(Fault):
    """A fault of ARM kernels.

    `when`: the condition by its name (`qcc.backends.lite.rules.arm`), one a row. `verdict`: whether a file
    with such an op is refused, or is one to warn of. `limit`: the number up to which the kernel is right;
    `always`: whether every use of the ops is wrong.
    `seen`: what was seen on the kernels. `remedy`: what somebody can do whose model has such an op, where qcc
    writes nothing instead, or whose file was made by another tool.
    """

    when: Words
    verdict: Verdict = "refused"
    limit: int | None = None
    always: bool = False
    seen: Words
    remedy: Words


class Proof(BaseModel):
    """A form of an int8 op whose `outputs` were compared with exact integer arithmetic on the kernels.

    `test` of `nets` networks, run under emulation. `off_by_one` at a tie; `wrong` by the `fault` named, whose
    condition these met.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Words
    test: Words
    nets: int
    kernels: tuple[str, ...]
    fused: tuple[str, ...]
    outputs: int
    off_by_one: int
    wrong: int = 0
    fault: str = ""


class ArmTable(BaseModel):
    """The whole table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Words
    processor: Words
    proven: tuple[Proof, ...]
    faults: tuple[ArmFault, ...]

    @cached_property
    def _by_op(self) -> dict[str, list[ArmFault]]:
        found: dict[str, list[ArmFault]] = {}
        for fault in self.faults:
            for op_type in fault.ops:
                found.setdefault(op_type, []).append(fault)
        return found

    @cached_property
    def _by_condition(self) -> dict[str, ArmFault]:
        return {fault.when: fault for fault in self.faults}

    def faults_of(self, op_type: str) -> Sequence[ArmFault]:
        """The faults of an op's kernels."""
        return self._by_op.get(op_type, ())

    def is_useless(self, op_type: str) -> bool:
        """Whether an op has kernels that are never right."""
        return any(fault.always for fault in self.faults_of(op_type))

    def fault(self, when: str) -> ArmFault:
        """The fault with this condition."""
        return self._by_condition[when]

    def limit(self, when: str) -> int:
        """The number up to which a kernel is right."""
        limit = self.fault(when).limit
        assert limit is not None, f"{when} has no limit"
        return limit


@cache
def arm_table() -> ArmTable:
    """The table."""
    text = files("qcc.targets").joinpath("lite_arm.yaml").read_text(encoding="utf-8")
    return ArmTable.model_validate(yaml.safe_load(text))
