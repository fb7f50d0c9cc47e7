"""The same scripted models and chains for each library of messages: without a provider, network or prices.

A module has ``speaker`` and ``caller``, which make models, and ``chain``, which makes a chain of one.

* ``native``: penstock's own
* ``langchain``: LangChain's, for LangGraph and for penstock with LangChain's models in its nodes
"""
