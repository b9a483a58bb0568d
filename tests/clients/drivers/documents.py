"""The documents of YAML files, as one JSON array.

    documents.py FILE…
"""

import json
import sys

import yaml


def documents(files):
    for file in files:
        with open(file, encoding="utf-8") as opened:
            yield from yaml.safe_load_all(opened)


json.dump(list(documents(sys.argv[1:])), sys.stdout)
