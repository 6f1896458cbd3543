"""Where a model's weights come from: a location becomes a local directory that vLLM can load.

`location` reads what settings and profiles name, `sources` does the resolving, `hub` and `bucket`
list and read remote files, `transfer` brings them to disk, `cached` knows what lies there already.
Nothing is fetched where the files are there. docs/adr/0017.

`location`, `cached`, `names` and `errors` need the standard library alone: set-up asks them before
anything is installed.
"""
