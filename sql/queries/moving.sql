-- name: list_bucket_backends
SELECT b.id, b.backend FROM storage.buckets AS b ORDER BY b.id COLLATE "C";

-- name: set_bucket_backend
UPDATE storage.buckets AS b SET backend = %(backend)s::text WHERE b.id = %(bucket)s::text RETURNING b.id;

-- name: measure_bucket
-- What a bucket has in backends other than this one: versions, bytes, and uploads that are not finished or confirmed.
SELECT count(*), coalesce(sum(o.size_bytes), 0)::bigint,
    (SELECT count(*) FROM storage.s3_multipart_uploads AS u
     WHERE u.bucket_id = %(bucket)s::text AND u.completed_at IS NULL AND u.backend <> %(backend)s::text)
    + (SELECT count(*) FROM storage.pending_uploads AS p
       WHERE p.bucket_id = %(bucket)s::text AND p.blob_id IS NOT NULL AND p.backend <> %(backend)s::text)
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.backend <> %(backend)s::text
    AND (o.blob_id IS NOT NULL OR o.part_blobs IS NOT NULL);

-- name: page_to_move
-- Versions of a bucket whose bytes are in another backend than this one, in the order of their rows' ids.
SELECT o.id, o.name, o.version, o.backend, o.blob_id, o.size_bytes, o.etag, o.part_sizes, o.part_blobs,
    o.encryption IS NOT NULL, o.metadata, o.user_metadata
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.id > %(after)s::uuid AND o.backend <> %(backend)s::text
    AND (o.blob_id IS NOT NULL OR o.part_blobs IS NOT NULL)
ORDER BY o.id
LIMIT %(page_size)s::integer;

-- name: page_of_bucket
-- The same, wherever the bytes are.
SELECT o.id, o.name, o.version, o.backend, o.blob_id, o.size_bytes, o.etag, o.part_sizes, o.part_blobs,
    o.encryption IS NOT NULL, o.metadata, o.user_metadata
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.id > %(after)s::uuid
    AND (o.blob_id IS NOT NULL OR o.part_blobs IS NOT NULL)
ORDER BY o.id
LIMIT %(page_size)s::integer;

-- name: move_object
SELECT rowlock.move_object(
    %(id)s::uuid, %(from_backend)s::text, %(blob_id)s::text, %(part_blobs)s::text[],
    %(epoch)s::integer, %(backend)s::text, %(new_blob_id)s::text, %(new_part_blobs)s::text[]);
