-- What the seed of supabase-js's tests expects of Supabase's auth service: a table of users, and pgcrypto's two
-- functions, whose results nobody looks at.
CREATE TABLE auth.users (
    instance_id uuid, id uuid PRIMARY KEY, aud text, role text, email text, encrypted_password text,
    email_confirmed_at timestamptz, raw_app_meta_data jsonb, raw_user_meta_data jsonb, created_at timestamptz,
    updated_at timestamptz, confirmation_token text, email_change text, email_change_token_new text, recovery_token text);
CREATE FUNCTION crypt(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'unused'::text $$;
CREATE FUNCTION gen_salt(text) RETURNS text LANGUAGE sql AS $$ SELECT 'unused'::text $$;
