"""Root of the import package `tasker_kafka`: its version, and nothing else.

The sub-packages are the top-level folders of the repository (`schemas`, `topics`, `streams`, `handlers`,
`deploy`). Nothing is imported here, so that `import tasker_kafka` stays free and no role loads another's
dependencies.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
