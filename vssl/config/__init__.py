"""Configuration: compose it from files and the command line, bind it to constructors, build objects from it.

Nothing is imported here, so that `vssl --help` pays for neither Hydra nor torch.
"""
