"""Packages: versioned templates of jobs with options, from signed repositories."""
