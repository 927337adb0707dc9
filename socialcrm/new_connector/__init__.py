"""What `socialcrm new-connector` copies: a connector that works, its tests, a recording and its page.

The name in them, Carrier Pigeon, becomes that of the new connector; ruff, mypy and a test keep them right.
"""
