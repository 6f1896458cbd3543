"""Commands of the repository; none is part of the distribution."""
