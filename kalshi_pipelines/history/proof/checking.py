"""Checking days: prove them and record the results. Every night, the closed days without a proof are checked."""

import datetime as dt
from collections.abc import Callable

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.partitions import lock_of_day, partitions_of
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.proving import prove_day
from kalshi_pipelines.history.proof.recording import record_proof
from kalshi_pipelines.history.proof.residuals import Proof, Verdict
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.warehouse.locks import hold_work_lock


def check_day(inputs: ProofInputs, day: dt.date) -> Proof:
    """Prove one UTC day of public trades and record the result. No read of the day can run meanwhile.

    Raises:
        AlreadyRunning: A run reads the day.
        KalshiError: The exchange is down.
        LakeUnavailable: The lake cannot be read.
    """
    with hold_work_lock(inputs.engine, lock_of_day(PUBLIC_TRADES.name, day)):
        proof = prove_day(inputs, day)
        record_proof(inputs.engine, proof, inputs.clock())
        return proof


def _ignore(_: Proof) -> None:
    return


def check_new_days(inputs: HistoryInputs, when_checked: Callable[[Proof], None] = _ignore) -> list[Proof]:
    """Check the closed days that have no proof since their rows changed. A day that cannot be checked is reported."""
    proofs: list[Proof] = []
    for each in partitions_of(inputs.engine, PUBLIC_TRADES.name):
        if each.status != "closed" or each.proof != Verdict.NOT_CHECKED:
            continue
        inputs.check_stopping()
        try:
            proof = check_day(ProofInputs.of(inputs), each.day)
        except ExpectedError as error:
            inputs.report(f"public_trades {each.day} could not be checked: {error}")
            continue
        inputs.report(str(proof))
        when_checked(proof)
        proofs.append(proof)
    return proofs
