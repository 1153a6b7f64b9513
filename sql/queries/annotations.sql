-- name: find_annotation
-- No row: the object is another version by now. NULLs: it has no such annotation.
SELECT a.payload, a.size_bytes, a.etag, a.checksum_algorithm, a.checksum_value, a.encryption, a.updated_at
FROM storage.objects AS o
LEFT JOIN storage.object_annotations AS a ON a.object_id = o.id AND a.name = %(name)s::text COLLATE "C"
WHERE o.id = %(object_id)s::uuid AND coalesce(o.version, '') = %(version)s::text;

-- name: list_annotations
-- lane: quick
-- The same for a page of them, without their payloads.
SELECT a.name, a.updated_at, a.size_bytes, a.etag, a.checksum_algorithm
FROM storage.objects AS o
LEFT JOIN LATERAL (
    SELECT s.* FROM storage.object_annotations AS s
    WHERE s.object_id = o.id AND s.name >= %(lower)s::text COLLATE "C" AND s.name < %(upper)s::text COLLATE "C"
    ORDER BY s.name LIMIT %(page_size)s::integer) AS a ON true
WHERE o.id = %(object_id)s::uuid AND coalesce(o.version, '') = %(version)s::text
ORDER BY a.name;

-- name: put_annotation
SELECT rowlock.put_annotation(
    %(object_id)s::uuid, %(version)s::text, %(if_match)s::text, %(name)s::text, %(payload)s::bytea,
    %(size_bytes)s::integer, %(etag)s::text, %(checksum_algorithm)s::text, %(checksum_value)s::text,
    %(encryption)s::jsonb);

-- name: delete_annotation
SELECT rowlock.delete_annotation(
    %(bucket)s::text, %(object_id)s::uuid, %(version)s::text, %(if_match)s::text, %(name)s::text, %(bypass)s::boolean);

-- name: take_annotations
SELECT rowlock.take_annotations(%(object_id)s::uuid, %(version)s::text, %(request)s::text);

-- name: next_taken_annotation
SELECT taken.name, taken.payload, taken.size_bytes, taken.encryption
FROM rowlock.next_taken_annotation(%(taken)s::uuid, %(after)s::text) AS taken;

-- name: replace_taken_annotation
SELECT rowlock.replace_taken_annotation(
    %(taken)s::uuid, %(name)s::text, %(payload)s::bytea, %(encryption)s::jsonb);

-- name: give_annotations
SELECT rowlock.give_annotations(
    %(taken)s::uuid, %(bucket)s::text, %(key)s::text, %(version)s::text, %(request)s::text);
