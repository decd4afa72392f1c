-- A destination that no relay can have configured is refused when it is written. No loop claims such a row, so it would
-- wait for ever and nothing would set it aside. Rows of earlier releases stay as they are.
--
-- Apart from this clause the trigger is that of 0017. PostgreSQL changes no condition of a trigger in place.
-- The bound of the name stands outside the expression: as {0,62} it becomes as many states, and matching costs many times
-- as much.
create or replace trigger refuse_delivery before insert on postcommit.delivery for each row when (
  new.destination = 'redis-outbox' and new.state <> 'dead'
  or new.last_error is null and not (
    new.gid <> '' and new.branch >= 0 and new.target not like '$%' and isfinite(new.created_at) and isfinite(new.due_at)
    and new.destination ~ '^[a-z][a-z0-9-]*$' and length(new.destination) < 64
  )
) execute function postcommit.refuse_delivery();
