"""Expected errors in real runs: the log shows their message, and only a retryable error is retried."""

from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.kalshi.errors import RateBudgetExceeded
from kalshi_pipelines.settings import InvalidSettings

RETRIES = 2


def run_with_retries(error: Exception) -> tuple[Any, int]:
    """Run a step that always raises the error under a retry policy; return the result and the number of attempts."""
    attempts: list[int] = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=RETRIES))
    def failing(context: dg.AssetExecutionContext) -> None:
        attempts.append(context.retry_number)
        with report_expected_failures(context.log):
            raise error

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([failing], instance=instance, raise_on_error=False)
    assert not result.success
    return result, len(attempts)


def failure_of(result: Any) -> Any:
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    return failure.step_failure_data


@pytest.mark.parametrize(
    "error",
    [
        ExpectedError("The key file is missing.", "Set KALSHI_PRIVATE_KEY_FILE to its path."),
        InvalidSettings("KALSHI_ENVIRONMENT is 'moon'."),
        ExpectedError("The write was refused.", retryable=False),
    ],
)
def test_permanent_failure_under_a_retry_policy_is_not_retried(error: ExpectedError) -> None:
    result, attempts = run_with_retries(error)
    assert attempts == 1
    assert failure_of(result).user_failure_data.description == str(error)


@pytest.mark.parametrize(
    "error",
    [
        ExpectedError("The exchange did not answer.", "Wait and run the job again.", retryable=True),
        RateBudgetExceeded("The rate budget is used up.", "Wait a minute and run the job again."),
    ],
)
def test_retryable_failure_under_a_retry_policy_is_retried(error: ExpectedError) -> None:
    result, attempts = run_with_retries(error)
    assert attempts == 1 + RETRIES
    assert failure_of(result).user_failure_data.description == str(error)


def test_unexpected_failure_keeps_its_traceback() -> None:
    result, attempts = run_with_retries(KeyError("ticker"))
    assert attempts == 1 + RETRIES
    assert "in failing" in str(failure_of(result).error_display_string)
    assert "KeyError" in str(failure_of(result).error_display_string)


def test_expected_failure_is_logged_as_one_sentence_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    run_with_retries(ExpectedError("The lake is full.", "Free some space."))
    logged = capfd.readouterr().err
    sentence = next(line for line in logged.splitlines() if "The lake is full." in line)
    assert "ERROR" in sentence
    assert "Free some space." in sentence
    assert "Traceback" not in logged[: logged.index(sentence)]
