"""The TradeExecutor: plans, admits and sends orders inside one session."""
