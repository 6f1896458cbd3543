"""What every queue adapter has to do: run by the unit tier in memory, by integration in Redis."""
