-- name: access_facts
-- lane: quick
SELECT facts.owner_id, facts.acl, facts.ownership, facts.public_access_block, facts.policy
FROM rowlock.access_facts(%(bucket)s::text) AS facts;

-- name: find_accounts
-- lane: quick
SELECT found.subject, found.canonical_id, found.display_name, found.email
FROM rowlock.find_accounts(%(subjects)s::text[], %(canonical_ids)s::text[], %(emails)s::text[]) AS found;

-- name: register_account
SELECT rowlock.register_account(
    %(subject)s::text, %(canonical_id)s::text, %(display_name)s::text, %(email)s::text);

-- name: set_bucket_acl
SELECT rowlock.set_bucket_acl(%(bucket)s::text, %(acl)s::jsonb);

-- name: find_bucket_acl
-- lane: quick
-- As the caller; with what to say when it sees no bucket.
SELECT b.id, b.owner_id, b.acl, rowlock.bucket_visibility(%(bucket)s::text)
FROM (SELECT) AS once
LEFT JOIN storage.buckets AS b ON b.id = %(bucket)s::text;

-- name: set_object_acl
SELECT rowlock.set_object_acl(%(id)s::uuid, %(version)s::text, %(acl)s::jsonb);

-- name: is_hidden
-- lane: quick
SELECT rowlock.s3_is_hidden(%(bucket)s::text, %(key)s::text);

-- name: permitted_names
SELECT allowed FROM rowlock.s3_permitted(%(bucket)s::text, %(names)s::text[]) AS allowed;
