"""The root of all errors that a person is meant to read.

Such an error states the problem (``problem``) and the next step (``remedy``). Errors of the program itself, such as a
wrong argument, stay ordinary exceptions and keep their traceback. The whole hierarchy::

    ExpectedError
        DeliveryFailed (alerts.channels)
        CopyNotNamed (cli.warehouse_commands)
        AbsurdBody (contracts.comparison.body_decoding)
        UnreadableDocument (contracts.comparison.openapi_document)
        FindingNotRecorded (contracts.findings.store)
        NoRecording (contracts.probing.fixtures)
        UnreadableChangelog (contracts.probing.other_vendor_probes)
        ProbeTimeUsedUp (contracts.probing.probe_client)
        PandasMissing (data.frames)
        NoData (data.opening)
        GroupNotMade (execution.executor.dispatch)
        SessionRefused (execution.executor.session)
        UnreadableMarket (execution.gates.market_snapshot)
        InboxFull (execution.inbox.proposals)
        InvalidProposals (execution.inbox.proposals)
        AnchorsUnreadable (execution.journal.anchors)
        AlreadyPlanned (execution.journal.errors)
        AnchorsNotTrusted (execution.journal.errors)
        IdempotencyConflict (execution.journal.errors)
        JournalHasTwoPaths (execution.journal.errors)
        JournalOfAnotherEnvironment (execution.journal.errors)
        JournalOutdated (execution.journal.errors)
        JournalRefused (execution.journal.errors)
        JournalRestored (execution.journal.errors)
        JournalUnavailable (execution.journal.errors)
            JournalMissing (execution.journal.errors)
        EmergencyFileUnreadable (execution.kill.emergency)
        NotRegistered (execution.kill.registry)
        NotReleased (execution.kill.switch)
        NotCanonical (execution.orders.canonical_json)
        FeeNotBounded (execution.orders.fees)
        UnusableName (execution.orders.persons)
        InvalidTerms (execution.orders.terms)
        UnreadableAccount (execution.reconciliation.account)
        NotAcknowledged (execution.reconciliation.evidence)
            NothingToAcknowledge (execution.reconciliation.evidence)
        FenceNotConfirmed (execution.reconciliation.resolution)
        CommandRefused (execution.service.command_context)
        TradesMissing (history.candles.markets)
        BackfillIncomplete (history.errors)
        HistoryIncomplete (history.errors)
        HistoryInterrupted (history.errors)
        HistoryRefused (history.errors)
        InvalidRange (history.errors)
        FeeChangesRefused (history.fees.recording)
        ReportRefused (history.proof.reports)
        KalshiError (kalshi.errors)
            ApiError (kalshi.errors)
                Forbidden (kalshi.errors)
                NotFound (kalshi.errors)
                RateLimited (kalshi.errors)
                Redirected (kalshi.errors)
                ServerError (kalshi.errors)
                Unauthorized (kalshi.errors)
            EnvironmentMismatch (kalshi.errors)
            InvalidRequest (kalshi.errors)
            MalformedResponse (kalshi.errors)
            PaginationStuck (kalshi.errors)
            RateBudgetExceeded (kalshi.errors)
            TransportFailed (kalshi.errors)
                AbsurdAnswer (kalshi.errors)
            UnusableKey (kalshi.errors)
        UnreadableBody (kalshi.errors)
        DuckDBMissing (lake.duckdb_views)
        ConflictingRows (lake.errors)
        LakeFileChanged (lake.errors)
        LakeLost (lake.errors)
        LakeOfAnotherWarehouse (lake.errors)
        LakeUnavailable (lake.errors)
        RowsNotInLake (lake.errors)
        InvalidAddress (news.addresses)
        RejectedArticle (news.articles)
        BudgetExhausted (news.budget)
        NewsFailed (news.errors)
        NotFetched (news.fetching)
        MalformedFeed (news.providers.feeds)
        ProviderFailed (news.providers.protocol)
        UnusableScopes (sandbox.access.memberships)
        UnusablePublicKey (sandbox.access.signatures)
        BadAdminRequest (sandbox.admin.routes)
        KeyNotCreated (sandbox.create_key)
        UnknownFault (sandbox.faults.plan)
        UnusableRecordings (sandbox.markets.recordings)
        SandboxDidNotStart (sandbox.process)
        UnusableStateFile (sandbox.state_file)
        InvalidSettings (settings)
        InexactValue (units)
        LakeDiffers (upkeep.history)
        UpkeepIncomplete (upkeep.maintain)
        HistoryNotMoved (upkeep.moving)
        AdoptionFailed (warehouse.adoption.adopt)
        UnknownShape (warehouse.adoption.shapes)
        RefusedLegacyRow (warehouse.adoption.values)
        BackupFailed (warehouse.backup)
        CopyRefused (warehouse.copying)
        WarehouseUnavailable (warehouse.engine)
        WarehouseOfAnotherEnvironment (warehouse.environment)
        CannotBeUpgraded (warehouse.inspection)
        AlreadyRunning (warehouse.locks)
        DowngradeWouldLoseRows (warehouse.migration_steps)
        SchemaNotAtHead (warehouse.migrations)
        NotReopened (warehouse.reopening)
        RestoreRefused (warehouse.restoring)
        WarehouseRetired (warehouse.retirement)
        RowsWouldBeLost (warehouse.upgrade)
"""

from typing import ClassVar


class ExpectedError(Exception):
    """A failure that the program expects and that a person can act on.

    Attributes:
        problem: The failure and its place, in one or more sentences.
        remedy: The next step for the reader, as a sentence; empty if the problem already states it.
        retryable: Whether the same work can succeed later without any change.
    """

    is_retryable: ClassVar[bool] = False
    """The default of ``retryable`` for this class."""

    def __init__(self, problem: object = "", remedy: str = "", *, retryable: bool | None = None) -> None:
        super().__init__(problem, *([remedy] if remedy else []))
        self.problem = str(problem)
        self.remedy = remedy
        self.retryable = self.is_retryable if retryable is None else retryable

    def __str__(self) -> str:
        return " ".join(part for part in (self.problem, self.remedy) if part)
