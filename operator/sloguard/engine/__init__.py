"""The pure planner that both substrates share."""
