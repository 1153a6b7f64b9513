-- name: forget_everything
-- Between two tests (gateway/testing.py), as the owner: no bucket, nothing in one, nothing waiting to be destroyed. The
-- guard of locked versions stands aside for this statement.
ALTER TABLE storage.objects DISABLE TRIGGER guard_lock_truncate;
TRUNCATE storage.buckets CASCADE;
TRUNCATE rowlock.garbage;
ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER guard_lock_truncate;
