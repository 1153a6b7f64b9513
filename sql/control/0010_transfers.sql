-- Moves and replications of buckets that operators asked for over the admin API. A background worker takes one by naming
-- itself in the row for a while; what it does is what the rows of the tenant's objects say, here is only how far it came.

CREATE TABLE control.transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES control.tenants (id),
    kind text NOT NULL CHECK (kind IN ('move', 'replicate')),
    bucket text COLLATE "C" NOT NULL CHECK (octet_length(bucket) BETWEEN 1 AND 255),
    backend text COLLATE "C" NOT NULL CHECK (octet_length(backend) BETWEEN 1 AND 255),
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'paused', 'done', 'failed', 'cancelled')),
    concurrency integer NOT NULL CHECK (concurrency BETWEEN 1 AND 64),
    bytes_per_second bigint CHECK (bytes_per_second > 0),
    objects bigint NOT NULL DEFAULT 0,
    size_bytes bigint NOT NULL DEFAULT 0,
    failed_objects bigint NOT NULL DEFAULT 0,
    objects_left bigint,
    error text,
    worker text,
    worker_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- Two that move one bucket at once would each undo what the other does.
CREATE UNIQUE INDEX transfers_open ON control.transfers (tenant_id, bucket, kind) WHERE status IN ('running', 'paused');
CREATE INDEX transfers_tenant ON control.transfers (tenant_id, id);

CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON control.transfers
    FOR EACH ROW EXECUTE FUNCTION control.audit_change('transfer', 'id');

REVOKE ALL ON control.transfers FROM public;
GRANT SELECT, INSERT, UPDATE ON control.transfers TO rowlock_gateway;
