"""Tables, what is expected of them, the runs behind them, and what is concluded."""
