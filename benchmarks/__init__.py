"""Benchmarks: penstock beside LangGraph, other graph libraries, and the least code that does the same job.

Run ``python -m benchmarks --help``.  Machines differ, so only ratios within one run count; every workload
checks what it produced before it is timed.

* ``workloads/``: what is measured: sizes, the right answer, the graph program, the raw plan
* ``targets``: what penstock is to reach; ``verdicts``: whether it does
* ``chat/``: scripted models and chains, penstock's own and LangChain's
* ``systems/``: who is measured: one module per system, each imported only in a worker process of its own
* ``worker``: answers requests for one (system, backend); ``client`` is the other end of its pipe
* ``runner``: asks the workers in turn, A B A B; ``results`` keeps what they answer
* ``report``, ``markdown``, ``plots``: the same results as tables for a terminal, tables for the docs, drawings
"""
