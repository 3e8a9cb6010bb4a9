"""Where work goes: offers in hand, what waits, and the plan that brings them together."""
