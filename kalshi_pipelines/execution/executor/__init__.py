"""The TradeExecutor, which plans, admits and sends the orders of one trading session."""
