"""Look-ups in lightly's NNMemoryBankModule; prints milliseconds a look-up.

Settings (JSON): rows, dim, batchSize, seconds (to measure for).
"""

import json
import sys
import time

import torch
from lightly.models.modules import NNMemoryBankModule

settings = json.loads(sys.argv[1])
bank = NNMemoryBankModule(size=(settings["rows"], settings["dim"]))
queries = [torch.randn(settings["batchSize"], settings["dim"]) for _ in range(4)]
for query in queries[:2]:
    bank(query, update=False)
lookups = 0
start = time.perf_counter()
while time.perf_counter() - start < settings["seconds"]:
    bank(queries[lookups % len(queries)], update=False)
    lookups += 1
print(json.dumps({"milliseconds": 1000 * (time.perf_counter() - start) / lookups}))
