"""Serve in virtual time: the scheduler of live serving, drawn arrivals and service times, answers from recorded outcomes."""
