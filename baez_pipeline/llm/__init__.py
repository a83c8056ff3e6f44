"""Language models behind one chat protocol.

Goes in: the client protocol, clients (local, remote), the adapter that hands a client to delphi.
Stays out: prompts (they belong to the method or benchmark that asks) and tables.
"""
