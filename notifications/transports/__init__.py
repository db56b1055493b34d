"""The ways to reach devices, one file each, behind `answers.Carrier`."""
