-- name: create_transfer
INSERT INTO control.transfers (tenant_id, kind, bucket, backend, concurrency, bytes_per_second)
VALUES (%(tenant)s::text, %(kind)s::text, %(bucket)s::text, %(backend)s::text, %(concurrency)s::integer,
    %(bytes_per_second)s::bigint)
RETURNING id, tenant_id, kind, bucket, backend, status, concurrency, bytes_per_second, objects, size_bytes,
    failed_objects, objects_left, error, created_at, updated_at;

-- name: transfer_page
-- The newest first.
SELECT t.id, t.tenant_id, t.kind, t.bucket, t.backend, t.status, t.concurrency, t.bytes_per_second, t.objects,
    t.size_bytes, t.failed_objects, t.objects_left, t.error, t.created_at, t.updated_at
FROM control.transfers AS t
WHERE t.tenant_id = %(tenant)s::text AND t.id < %(before)s::bigint
ORDER BY t.id DESC
LIMIT %(limit)s::integer;

-- name: find_transfer
SELECT t.id, t.tenant_id, t.kind, t.bucket, t.backend, t.status, t.concurrency, t.bytes_per_second, t.objects,
    t.size_bytes, t.failed_objects, t.objects_left, t.error, t.created_at, t.updated_at
FROM control.transfers AS t
WHERE t.tenant_id = %(tenant)s::text AND t.id = %(id)s::bigint;

-- name: set_transfer_status
UPDATE control.transfers AS t SET status = %(status)s::text, error = NULL, updated_at = now()
WHERE t.tenant_id = %(tenant)s::text AND t.id = %(id)s::bigint AND t.status = ANY (%(before)s::text[])
RETURNING t.id, t.tenant_id, t.kind, t.bucket, t.backend, t.status, t.concurrency, t.bytes_per_second, t.objects,
    t.size_bytes, t.failed_objects, t.objects_left, t.error, t.created_at, t.updated_at;

-- name: claim_transfer
-- The oldest that nobody works on, or whose worker has not been heard of in time.
UPDATE control.transfers AS t
SET worker = %(worker)s::text, worker_until = now() + make_interval(secs => %(lease_seconds)s::double precision)
WHERE t.id = (
    SELECT c.id FROM control.transfers AS c
    WHERE c.status = 'running' AND (c.worker_until IS NULL OR c.worker_until < now())
        AND (c.tenant_id <> 'default') = %(many_tenants)s::boolean
    ORDER BY c.id
    FOR UPDATE SKIP LOCKED
    LIMIT 1)
RETURNING t.id, t.tenant_id, t.kind, t.bucket, t.backend, t.status, t.concurrency, t.bytes_per_second, t.objects,
    t.size_bytes, t.failed_objects, t.objects_left, t.error, t.created_at, t.updated_at;

-- name: report_transfer
-- How far a worker is; says what the operator wants now. No row: it is somebody else's.
UPDATE control.transfers AS t
SET objects = %(objects)s::bigint, size_bytes = %(size_bytes)s::bigint, failed_objects = %(failed_objects)s::bigint,
    objects_left = %(objects_left)s::bigint, updated_at = now(),
    worker_until = now() + make_interval(secs => %(lease_seconds)s::double precision)
WHERE t.id = %(id)s::bigint AND t.worker = %(worker)s::text
RETURNING t.status;

-- name: release_transfer
UPDATE control.transfers AS t SET worker = NULL, worker_until = NULL
WHERE t.id = %(id)s::bigint AND t.worker = %(worker)s::text
RETURNING t.id;

-- name: end_transfer
UPDATE control.transfers AS t
SET status = %(status)s::text, error = %(error)s::text, worker = NULL, worker_until = NULL, updated_at = now()
WHERE t.id = %(id)s::bigint AND t.worker = %(worker)s::text AND t.status = 'running'
RETURNING t.id;
