-- name: apply_limits
select rowlock.apply_limits(%(storage_bytes)s::bigint, %(multipart_uploads)s::bigint);

-- name: current_limits
select l.storage_bytes, l.multipart_uploads, l.used_bytes from rowlock.limits as l;
