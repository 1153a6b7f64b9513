-- Tenants: where the database of each is, what it may use, and what it is reached by. What is sealed (bytea) is bound to
-- its tenant, column and row (gateway/tenants/secrets.py).

CREATE TABLE control.tenants (
    -- also the name of a directory: nothing that means anything in a path
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
    description text,
    region text CHECK (region <> ''),
    -- the gateway's login; the schema's owner (NULL: the same); a transaction pooler before the database (NULL: none)
    database_url bytea,
    owner_url bytea,
    pool_url bytea,
    jwt_secret bytea,
    -- who else signs its users' tokens, and what these must say: lists with commas between
    jwks_url text CHECK (jwks_url <> ''),
    jwt_audience text CHECK (jwt_audience <> ''),
    jwt_issuer text CHECK (jwt_issuer <> ''),
    limits jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    features jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(features) = 'object'),
    backends jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(backends) = 'object'),
    -- grows with every change of this row and of what hangs on it (hosts, JWKS), so that caches know theirs is old
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The implicit tenant of single-tenant mode: its database is the gateway's own.
INSERT INTO control.tenants (id, description) VALUES ('default', 'the implicit tenant of single-tenant mode');

-- Further host names a tenant is reached by, besides what ROWLOCK_TENANT_HOST_PATTERN finds.
CREATE TABLE control.tenant_hosts (
    host text COLLATE "C" PRIMARY KEY CHECK (host ~ '^[a-z0-9.-]{1,253}$'),
    tenant_id text COLLATE "C" NOT NULL REFERENCES control.tenants (id)
);
CREATE INDEX tenant_hosts_tenant ON control.tenant_hosts (tenant_id);

-- Keys that the tokens of a tenant's users are verified with, each a sealed JWK. A standby key verifies too; which one
-- signs is the issuer's affair, and ``signing`` says what the tenant was told last.
CREATE TABLE control.jwks (
    tenant_id text COLLATE "C" NOT NULL REFERENCES control.tenants (id),
    kid text COLLATE "C" NOT NULL CHECK (kid ~ '^[A-Za-z0-9_.=+@:-]{1,128}$'),
    algorithm text NOT NULL CHECK (algorithm ~ '^[A-Za-z0-9]{2,10}$'),
    jwk bytea NOT NULL CHECK (octet_length(jwk) BETWEEN 32 AND 16384),
    signing boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kid)
);
CREATE UNIQUE INDEX jwks_signing ON control.jwks (tenant_id) WHERE signing;

-- An access key belongs to a tenant for good: its id is unique among all tenants. What it is narrowed to is NULL where
-- it is not.
ALTER TABLE control.access_keys
    ADD COLUMN tenant_id text COLLATE "C" NOT NULL DEFAULT 'default' REFERENCES control.tenants (id),
    ADD COLUMN buckets text[] CHECK (cardinality(buckets) BETWEEN 1 AND 100),
    ADD COLUMN prefix text CHECK (octet_length(prefix) BETWEEN 1 AND 1024),
    ADD COLUMN read_only boolean NOT NULL DEFAULT false;
CREATE INDEX access_keys_tenant ON control.access_keys (tenant_id, access_key_id);

-- Which schema and limits each tenant's database has. ``fingerprint`` names what a program wants it to have; what does
-- not equal it is brought up to date, one at a time, and a failure is tried again after a growing pause.
CREATE TABLE control.tenant_migrations (
    tenant_id text COLLATE "C" PRIMARY KEY REFERENCES control.tenants (id),
    status text NOT NULL CHECK (status IN ('running', 'current', 'failed')),
    fingerprint text NOT NULL,
    version text,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    retry_at timestamptz
);
CREATE INDEX tenant_migrations_failed ON control.tenant_migrations (retry_at) WHERE status = 'failed';

-- Who changed what. Triggers write it in the transaction of the change, psql included; values are never in it.
CREATE TABLE control.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    client_address text,
    request_id text,
    tenant_id text COLLATE "C",
    action text NOT NULL,
    target text NOT NULL,
    changed text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_tenant ON control.audit (tenant_id, id);

CREATE FUNCTION control.record(p_tenant text, p_action text, p_target text, p_changed text[]) RETURNS void
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS
$$
    INSERT INTO control.audit (actor, client_address, request_id, tenant_id, action, target, changed)
    VALUES (
        coalesce(nullif(current_setting('rowlock.actor', true), ''), session_user),
        nullif(current_setting('rowlock.client_address', true), ''),
        nullif(current_setting('rowlock.request_id', true), ''),
        p_tenant, p_action, p_target, p_changed)
$$;

-- Arguments: what the rows are called, and their key's column.
CREATE FUNCTION control.audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
DECLARE
    before jsonb := CASE WHEN tg_op <> 'INSERT' THEN to_jsonb(OLD) ELSE '{}' END;
    after jsonb := CASE WHEN tg_op <> 'DELETE' THEN to_jsonb(NEW) ELSE '{}' END;
    facts jsonb := CASE WHEN tg_op = 'DELETE' THEN before ELSE after END;
    changed text[];
BEGIN
    SELECT array_agg(key ORDER BY key) INTO changed
    FROM jsonb_object_keys(before || after) AS key
    WHERE before -> key IS DISTINCT FROM after -> key AND key NOT IN ('revision', 'updated_at', 'created_at');
    IF changed IS NOT NULL THEN
        PERFORM control.record(
            coalesce(facts ->> 'tenant_id', facts ->> 'id'), lower(tg_op) || ' ' || tg_argv[0], facts ->> tg_argv[1], changed);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON control.tenants
    FOR EACH ROW EXECUTE FUNCTION control.audit_change('tenant', 'id');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON control.tenant_hosts
    FOR EACH ROW EXECUTE FUNCTION control.audit_change('host', 'host');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON control.jwks
    FOR EACH ROW EXECUTE FUNCTION control.audit_change('jwk', 'kid');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON control.access_keys
    FOR EACH ROW EXECUTE FUNCTION control.audit_change('access key', 'access_key_id');

CREATE FUNCTION control.before_tenant_update() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    NEW.revision := OLD.revision + 1;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER before_update BEFORE UPDATE ON control.tenants
    FOR EACH ROW EXECUTE FUNCTION control.before_tenant_update();

-- Gateways cache tenants; they drop one as soon as it or what hangs on it changes.
CREATE FUNCTION control.tenants_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    PERFORM pg_catalog.pg_notify('control_tenants', CASE WHEN tg_op = 'DELETE' THEN OLD.id ELSE NEW.id END);
    RETURN NULL;
END
$$;
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON control.tenants
    FOR EACH ROW EXECUTE FUNCTION control.tenants_notify();

CREATE FUNCTION control.touch_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    UPDATE control.tenants AS t SET updated_at = now()
    WHERE t.id = CASE WHEN tg_op = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    RETURN NULL;
END
$$;
CREATE TRIGGER touch AFTER INSERT OR UPDATE OR DELETE ON control.tenant_hosts
    FOR EACH ROW EXECUTE FUNCTION control.touch_tenant();
CREATE TRIGGER touch AFTER INSERT OR UPDATE OR DELETE ON control.jwks
    FOR EACH ROW EXECUTE FUNCTION control.touch_tenant();

-- A tenant's hosts are these and no others. A host of another tenant is a unique violation.
CREATE FUNCTION control.put_hosts(p_tenant text, p_hosts text[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    DELETE FROM control.tenant_hosts AS h WHERE h.tenant_id = p_tenant AND NOT h.host = ANY (p_hosts);
    INSERT INTO control.tenant_hosts (host, tenant_id)
    SELECT DISTINCT wanted, p_tenant FROM unnest(p_hosts) AS wanted
    WHERE NOT EXISTS (SELECT FROM control.tenant_hosts AS h WHERE h.host = wanted AND h.tenant_id = p_tenant);
END
$$;

CREATE FUNCTION control.roll_jwk(p_tenant text, p_kid text) RETURNS SETOF control.jwks
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    -- one at a time
    PERFORM FROM control.tenants AS t WHERE t.id = p_tenant FOR UPDATE;
    IF EXISTS (SELECT FROM control.jwks AS j WHERE j.tenant_id = p_tenant AND j.kid = p_kid) THEN
        UPDATE control.jwks AS j SET signing = false WHERE j.tenant_id = p_tenant AND j.signing AND j.kid <> p_kid;
        RETURN QUERY
            UPDATE control.jwks AS j SET signing = true WHERE j.tenant_id = p_tenant AND j.kid = p_kid RETURNING j.*;
    END IF;
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA control FROM public;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA control FROM public;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA control TO rowlock_gateway;
GRANT SELECT, INSERT, UPDATE ON control.tenants, control.tenant_migrations TO rowlock_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON control.tenant_hosts, control.jwks TO rowlock_gateway;
GRANT SELECT, INSERT ON control.audit TO rowlock_gateway;
