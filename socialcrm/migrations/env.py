"""Alembic's way in: runs the migrations over the connection that `socialcrm.migrate` hands over."""

from alembic import context

from socialcrm.domain.rows import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot change columns in place
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
