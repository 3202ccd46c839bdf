"""Ours against what a user would run instead: same process, model, data and steps; ratios of medians, paired."""
