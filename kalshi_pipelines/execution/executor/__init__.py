"""The TradeExecutor, which plans, admits and sends orders inside one session."""
