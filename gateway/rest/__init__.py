"""The JSON API: what supabase-js, storage3 and the other Supabase SDKs speak, over the same operations as S3."""
